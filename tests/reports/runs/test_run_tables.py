import numpy as np
import pytest
from fake_runs import DIAGNOSTICS, add_all, make_run

from lt_det.reports.runs import tables as run_tables
from lt_det.reports.runs.folder import RunFolder
from lt_det.reports.runs.methods import Intervals, bootstrap_methods, group_runs


@pytest.fixture
def methods(tmp_path):
    """A of two seeds, B of one."""
    for seed, name in enumerate("abc"):
        add_all(tmp_path / name, make_run(tmp_path / name, seed=seed))
    return group_runs([RunFolder.open(tmp_path / name) for name in "abc"], ["A", "A", "B"])


def texts(table):
    return {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}


def test_results_are_all_metrics_of_the_file(methods):
    box, mask = run_tables.results_tables(methods)
    assert (box.title, mask.columns) == ("All metrics, box", ("metric", "A", "B"))
    assert "(A 2, B 1)" in box.note
    rows = texts(box)
    assert list(rows) == ["AP", "APr", "APc", "APf", "APl", "AP_fixed"]
    assert rows["AP_fixed"] == ["12.85 ± 0.71", "14.35"]
    assert rows["APc"] == ["50.25 ± 0.35", "51.00"]
    assert rows["APl"] == ["-", "-"]


def test_one_method_has_its_tasks_side_by_side(methods):
    (table,) = run_tables.results_tables(methods[1:])
    assert table.columns == ("metric", "box", "mask")
    assert texts(table)["APr"] == ["11.88", "11.88"]
    assert "seeds" not in table.note


def test_what_is_no_number_is_no_metric(methods):
    methods[1].first.results["segm"].update(note="x", AP_pool=3)
    (table,) = run_tables.results_tables(methods[1:])
    assert texts(table)["AP_pool"] == ["-", "3.00"]
    assert "note" not in texts(table)


def test_groups_count_classes_and_objects(methods):
    rows = texts(run_tables.groups_table(methods[0]))
    assert rows["rare"] == ["2", "2", "3", "6", "3"]
    assert rows["frequent"] == ["2", "1", "1200", "2400", "4"]
    assert rows["all"] == ["5", "4", "1243", "2486", "10"]


def test_classes_of_one_method_have_everything(methods):
    table = run_tables.class_table(methods[1:], "segm")
    assert table.columns[-3:] == ("weight norm", "learned rate", "gradient ratio")
    (dog,) = (row for row in table.rows if row[0].text == "dog")
    assert [c.text for c in dog[1:7]] == ["frequent", "300", "600", "0", "-", "-"]
    assert np.isnan(dog[5].value)
    assert [c.text for c in dog[-3:]] == ["4.00", "0.40", "2.00"]


def test_classes_of_many_methods_have_their_ap(methods):
    table = run_tables.class_table(methods, "segm")
    assert table.columns[-2:] == ("A", "B")
    assert [c.text for c in table.rows[4][-2:]] == ["80.38", "81.12"]
    assert "mean over seeds" in table.note


def test_calibration_and_confusion(methods):
    assert texts(run_tables.calibration_table(methods, "segm")) == {"rare": ["0.25", "0.25"]}
    assert run_tables.calibration_table(methods, "bbox").rows == []
    table, _ = run_tables.confusion_tables(methods, "segm")
    assert [[c.text for c in row] for row in table.rows] == [
        ["axe", "rare", "eel", "frequent", "2", "0.25"],
        ["<script>alert('b')</script>", "rare", "dog", "-", "7", "0.88"],
    ]
    many = [dict(DIAGNOSTICS["confusion"][0], count=n) for n in range(40)]
    many.append({"class": "dog", "into": "eel", "count": 99, "group": "frequent"})
    methods[0].first.diagnostics["segm"]["confusion"] = many
    table, _ = run_tables.confusion_tables(methods, "segm")
    assert [row[4].text for row in table.rows] == [*map(str, range(10)), "99"]
    assert table.rows[-1][5].text == "-"
    assert "30 more pairs are in `diagnostics.json`." in table.note


def test_intervals_and_differences(methods):
    intervals = bootstrap_methods(methods, "segm", 50)
    rows = texts(run_tables.headline_table(methods, "segm", intervals))
    ap = intervals.own["A"]["APf"]
    assert [row[4] for row in rows.values()] == ["2", "1"]
    assert rows["A"][3] == f"{ap['mean']:.1f} [{ap['lo']:.1f}, {ap['hi']:.1f}]"
    rows = texts(run_tables.headline_table(methods, "segm", None))
    assert rows["A"] == ["38.22 ± 0.35", "11.12 ± 0.35", "50.25 ± 0.35", "80.38 ± 0.35", "2"]
    nan = dict.fromkeys(("mean", "lo", "hi"), np.nan)
    up = {"mean": 2.0, "lo": 0.5, "hi": 3.0}
    found = {"B": {"AP": up, "APr": nan, "APc": up | {"lo": -1.0}, "APf": nan}}
    (row,) = run_tables.differences_table("segm", "A", Intervals({}, found)).rows
    assert [cell.text for cell in row] == ["B", "+2.0 [+0.5, +3.0]", "-", "+2.0 [-1.0, +3.0]", "-"]
    assert [cell.strong for cell in row] == [False, True, False, False, False]


def test_class_without_a_group(methods):
    methods[1].first.rows[0]["group"] = ""
    assert run_tables.class_table(methods[1:], "segm").rows[0][1].text == "-"
    assert texts(run_tables.groups_table(methods[1]))["rare"][0] == "1"
