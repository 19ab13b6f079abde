import csv
import json
import math

import numpy as np
import pytest

from lt_det.evaluation import results as report

RESULTS = {
    "bbox": {"AP": 12.345, "APr": math.nan, "APc": 1.0, "APf": 20.0},
    "segm": {"AP": 10.0, "APr": math.nan, "APc": 0.5, "APf": 18.0},
}
PER_CLASS = [
    {"class_id": 0, "name": 'a, "quoted"', "train_image_count": None, "bbox_AP": 50.125},
    {"class_id": 1, "name": "blåbær", "train_image_count": 3, "bbox_AP": math.nan},
]


def test_results_json_round_trip_is_strict_json(tmp_path):
    report.write_results(tmp_path / "new" / "folder", RESULTS)
    path = tmp_path / "new" / "folder" / "results.json"
    strict = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert strict["bbox"]["APr"] is None
    read = report.read_results(path)
    assert math.isnan(read["segm"].pop("APr"))
    assert read["segm"] == {"AP": 10.0, "APc": 0.5, "APf": 18.0}
    assert read["bbox"]["AP"] == 12.345


def test_numpy_values_can_be_written(tmp_path):
    report.write_results(tmp_path, {"bbox": {"AP": np.float32(0.5), "APr": np.float64("nan")}})
    assert report.read_results(tmp_path / "results.json")["bbox"]["AP"] == 0.5


def test_per_class_csv_round_trip(tmp_path):
    report.write_results(tmp_path, RESULTS, PER_CLASS)
    with open(tmp_path / "per_class.csv", encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f))
    assert [row["name"] for row in rows] == [row["name"] for row in PER_CLASS]
    assert float(rows[0]["bbox_AP"]) == 50.125
    assert rows[0]["train_image_count"] == rows[1]["bbox_AP"] == ""


def test_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path):
    report.write_results(tmp_path, RESULTS)
    with pytest.raises(TypeError, match="not JSON serializable"):
        report.write_results(tmp_path, {"bbox": {"AP": object()}})
    assert report.read_results(tmp_path / "results.json")["bbox"]["AP"] == 12.345
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_broken_results_file_is_named(tmp_path):
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(ValueError, match=r"results\.json"):
        report.read_results(tmp_path / "results.json")


def _cells(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_group_table_shows_absent_groups_as_dash():
    header, _, box, mask = _cells(report.group_table(RESULTS))
    assert header == ["task", *report.TABLE_METRICS]
    assert box[header.index("AP")] == "12.35"
    assert box[header.index("APr")] == mask[header.index("AR")] == "-"


def test_group_counts_table_counts_classes_and_instances():
    table = report.group_counts_table(np.array([0, 0, 1, 2, -1]), np.array([3, 0, 2, 0, 5]))
    assert _cells(table)[2:] == [
        ["rare", "2", "1", "3"],
        ["common", "1", "1", "2"],
        ["frequent", "1", "0", "0"],
        ["all", "5", "3", "10"],
    ]


def test_methods_table_mean_and_sample_deviation_over_seeds():
    runs = [{"bbox": {"AP": 1.0, "APr": math.nan}}, {"bbox": {"AP": 3.0, "APr": math.nan}}]
    table = report.methods_table({"plain": runs, "single": [RESULTS]}, metrics=("AP", "APr"))
    header, rule, plain, single = _cells(table)
    assert header == ["method", "seeds", "AP box", "APr box", "AP mask", "APr mask"]
    assert rule[0].startswith(":")
    assert plain == ["plain", "2", "2.00 ± 1.41", "-", "-", "-"]
    assert single == ["single", "1", "12.35", "-", "10.00", "-"]


def test_methods_table_refuses_a_method_without_results():
    with pytest.raises(ValueError, match="'empty' has no results"):
        report.methods_table({"empty": []})
