import math

import numpy as np
import pytest
from fake_comparison import comparison, fail

from lt_det.reports.comparison import content as reading

METHODS = ("control", "better", "best")


@pytest.fixture
def data():
    return comparison(METHODS, num_classes=12, seeds=(1, 2))


def test_null_is_nan_and_means_are_over_runs(data):
    row = data["rows"][1]
    row["runs"][0]["results"]["segm"]["APr"] = None
    row["runs"][1]["results"]["segm"]["APr"] = 7.5
    first, second = reading.seed_values(row, "segm", "APr")
    assert math.isnan(first)
    assert second == 7.5
    row["runs"][0]["per_class"]["segm"] = [None, 10.0] + [0.0] * 10
    row["runs"][1]["per_class"]["segm"] = [None, 20.0] + [0.0] * 10
    np.testing.assert_array_equal(reading.class_ap(row, "segm"), [np.nan, 15.0] + [0.0] * 10)


def test_norms_are_averaged_over_the_runs_that_have_them(data):
    row = data["rows"][0]
    row["runs"][0]["weight_norms"] = None
    np.testing.assert_array_equal(reading.weight_norms(row), row["runs"][1]["weight_norms"])
    row["runs"][1]["weight_norms"] = None
    assert reading.weight_norms(row) is None


def test_a_row_without_a_finished_control_is_drawn_against_stage_1(data):
    assert reading.reference(data, data["rows"][1])["name"] == "control"
    assert reading.main_control(data)["name"] == "control"
    assert [reading.is_control(data, row) for row in data["rows"]] == [True, False, False]
    fail(data["rows"][0])
    assert reading.reference(data, data["rows"][1])["name"] == "stage 1"
    assert reading.main_control(data)["name"] == "stage 1"


def test_stage_1_is_a_control_as_any_other(data):
    data["rows"][1]["controls"] = ["stage 1", "control"]
    data["rows"][2]["controls"] = ["control", "stage 1"]
    assert reading.reference(data, data["rows"][1])["name"] == "stage 1"
    assert reading.reference(data, data["rows"][2])["name"] == "control"
    assert reading.is_control(data, reading.stage1_row(data))
    data["rows"][0]["controls"] = ["stage 1"]
    assert reading.main_control(data)["name"] == "stage 1"


def test_missing_seeds(data):
    row = data["rows"][1]
    assert reading.missing_seeds(data, row) == []
    del row["runs"][0]
    assert reading.missing_seeds(data, row) == [1]
    row["after"] = "stage 1"
    assert reading.missing_seeds(data, row) == [None]
    row["runs"][0]["seed"] = None
    assert reading.missing_seeds(data, row) == []
    # After a trained row there is a run for each of its seeds.
    row.update(after="control", runs=[])
    assert reading.missing_seeds(data, row) == [1, 2]


def test_the_best_row_of_each_group_is_never_the_control(data):
    for row, values in zip(data["rows"], ((9, 9, 9), (1, 2, 8), (4, 1, None)), strict=True):
        for run in row["runs"]:
            run["results"]["segm"] |= dict(zip(("APr", "APc", "APf"), values, strict=True))
    best = {metric: row["name"] for metric, row in reading.best_rows(data).items()}
    assert best == {"APr": "best", "APc": "better", "APf": "better"}


def test_masks_are_drawn_unless_there_are_only_boxes(data):
    assert reading.main_task(data) == "segm"
    assert reading.main_task({"tasks": ["bbox"]}) == "bbox"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("classes"), r"lacks \['classes'\]"),
        (lambda d: d["rows"][1].pop("error"), r"row 'better' lacks \['error'\]"),
        (lambda d: d.update(tasks=[]), "'tasks' is empty"),
        (lambda d: d["rows"][1].update(name="best"), "2 rows are named 'best'"),
        (lambda d: d["rows"][0]["runs"][1]["per_class"].pop("segm"), r"lacks \['segm'\]"),
        (lambda d: d["stage1"]["per_class"]["bbox"].pop(), "'stage 1'.* 11 values for the 12"),
        (lambda d: d["rows"][2]["runs"][0]["weight_norms"].pop(), "weight_norms holds 11 values"),
    ],
)
def test_what_is_no_comparison_is_refused(data, change, message):
    reading.check_comparison(data)
    change(data)
    with pytest.raises(ValueError, match=message):
        reading.check_comparison(data)
