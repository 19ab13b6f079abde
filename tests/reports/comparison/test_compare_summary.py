"""The first table of a comparison."""

import pytest
from fake_comparison import comparison, fail

from lt_det.reports.comparison.summary import summary_table

METHODS = ("control", "better", "best")


@pytest.fixture
def data():
    return comparison(METHODS, num_classes=12, seeds=(1, 2))


def cells(table, method):
    (row,) = (row for row in table.rows if row[0].text == method)
    return dict(zip(table.columns, row, strict=True))


def test_a_row_says_choice_scores_and_difference_to_its_first_control(data):
    row = data["rows"][2]
    row["controls"] = ["better", "control"]
    row["selection"] = {"trials": [], "chosen": {"SOLVER.BASE_LR": 0.4}}
    for run, ap in zip(row["runs"], (10.0, 13.0), strict=True):
        run["results"]["segm"]["APr"] = ap
    interval = {"mean": 3.0, "lo": 2.0, "hi": 4.0}
    entry = {"task": "segm", "control": "better", "AP": interval, "APr": {**interval, "lo": -1.0}}
    other = {**entry, "control": "control", "AP": {**interval, "mean": 9.0}}
    boxes = {**entry, "task": "bbox", "AP": {**interval, "mean": 8.0}}
    row["differences"] = [boxes, other, entry]
    shown = cells(summary_table(data), "best")
    assert shown["chosen"].text == "SOLVER.BASE_LR=0.4"
    assert shown["APr"].text == "11.50 ± 2.12"
    assert shown["control"].text == "better"
    assert shown["AP minus control"][:] == ("+3.0 [+2.0, +4.0]", 3.0, True)
    assert shown["APr minus control"][:] == ("+3.0 [-1.0, +4.0]", 3.0, False)


def test_stage_1_is_first_and_rows_without_control_or_runs_have_dashes(data):
    data["rows"][0] |= {"controls": [], "differences": [], "selection": None}
    fail(data["rows"][1], "RuntimeError: out of memory")
    data["rows"][1] |= {"differences": []}
    table = summary_table(data)
    assert [row[0].text for row in table.rows] == ["stage 1", *METHODS]
    for method in ("stage 1", "control", "better"):
        shown = cells(table, method)
        assert {
            shown[name].text for name in ("control", "AP minus control", "APr minus control")
        } == {"-"}
    assert cells(table, "better")["AP"].text == "-"
