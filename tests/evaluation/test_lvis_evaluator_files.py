"""The files that LTLVISEvaluator writes, and when it writes none."""

import csv
import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
from toy_lvis import A

from lt_det.evaluation.lvis_evaluator import PREDICTIONS_FILE
from lt_det.evaluation.matching.matches import Matches
from lt_det.evaluation.results import read_results


def test_files(evaluate, tmp_path):
    stats = SimpleNamespace(image_count=np.array([2, 5, 9]), instance_count=np.array([4, 5, 9]))
    folder = tmp_path / "out"
    results = evaluate(
        {1: [(0, 0.9, A), (0, 0.25, (5, 5, 7, 9))]},
        output_dir=str(folder),
        class_stats=stats,
        save_predictions=True,
    )
    assert {path.name for path in folder.iterdir()} == {
        *("results.json", "per_class.csv", "matches_bbox.npz", "matches_segm.npz"),
        *("diagnostics.json", PREDICTIONS_FILE),
    }
    np.testing.assert_equal(read_results(folder / "results.json"), results)
    with open(folder / "per_class.csv", newline="", encoding="utf-8") as f:
        rows = list(csv.DictReader(f))
    assert list(rows[0]) == [
        *("class_id", "category_id", "name", "group", "train_image_count", "train_instance_count"),
        *("val_instances", "bbox_AP", "bbox_AP50", "bbox_AR", "segm_AP", "segm_AP50", "segm_AR"),
    ]
    assert [row["group"] for row in rows] == ["rare", "common", "frequent"]
    assert [row["val_instances"] for row in rows] == ["2", "0", "1"]
    assert [row["train_instance_count"] for row in rows] == ["4", "5", "9"]
    assert rows[1]["bbox_AP"] == ""
    assert float(rows[0]["bbox_AP"]) == results["bbox"]["APr"]
    predictions = json.loads((folder / PREDICTIONS_FILE).read_text())
    assert [p["score"] for p in predictions] == [np.float32(0.9), 0.25]
    assert predictions[1]["bbox"] == [5, 5, 7, 9]
    assert predictions[1]["category_id"] == 1
    assert predictions[1]["segmentation"]["size"] == [100, 100]
    matches = Matches.load(folder / "matches_segm.npz")
    np.testing.assert_array_equal(matches.matched[0], [True, False])


def test_no_output_dir_writes_nothing(evaluate, tmp_path):
    evaluate({1: [(0, 0.9, A)]})
    assert [path.name for path in tmp_path.iterdir()] == ["gt.json"]


@pytest.mark.parametrize("detections", [[], [(0, 0.9, A)]])
def test_test_set_only_keeps_predictions(toy, evaluate, tmp_path, caplog, detections):
    toy.annotations.clear()
    with caplog.at_level(logging.WARNING, logger="lt_det"):
        assert evaluate({1: detections}, output_dir=str(tmp_path / "out")) == {}
    assert "no annotations" in caplog.text
    assert [path.name for path in (tmp_path / "out").iterdir()] == [PREDICTIONS_FILE]
    predictions = json.loads((tmp_path / "out" / PREDICTIONS_FILE).read_text())
    assert len(predictions) == len(detections)
