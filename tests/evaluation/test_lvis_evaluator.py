import csv
import json
import logging
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from detectron2.structures import BitMasks, Boxes, Instances
from toy import ToyLVIS, make_instances

from lt_det.evaluation.bootstrap import average_precision
from lt_det.evaluation.group_metrics import METRIC_NAMES
from lt_det.evaluation.lvis_evaluator import PREDICTIONS_FILE, LTLVISEvaluator
from lt_det.evaluation.matches import Matches
from lt_det.evaluation.report import read_results

A, B = (10, 10, 20, 20), (50, 50, 40, 30)
ELSEWHERE = (0, 80, 10, 10)


@pytest.fixture
def toy():
    """Class 0 (rare): two objects in image 1. Class 1 (common): none. Class 2 (frequent): one."""
    toy = ToyLVIS("rcf")
    toy.image(1)
    toy.image(2, negative=[1])
    toy.image(3, not_exhaustive=[3])
    toy.box(1, 1, A)
    toy.box(1, 1, B)
    toy.box(3, 3, A)
    return toy


@pytest.fixture
def evaluate(toy, register, tmp_path):
    """Returns a function: {image: detections} -> results of the toy set."""

    def _evaluate(detections, masks=True, **options):
        evaluator = LTLVISEvaluator(register(toy.write(tmp_path / "gt.json")), **options)
        for image_id in toy.images:
            instances = make_instances(detections.get(image_id, []), masks=masks)
            evaluator.process([{"image_id": image_id}], [{"instances": instances}])
        _evaluate.evaluator = evaluator
        return evaluator.evaluate()

    return _evaluate


@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_ap_by_hand(evaluate, task):
    # True, false, true positive: precision 1 up to recall 0.5, then 2/3.
    results = evaluate({1: [(0, 0.9, A), (0, 0.8, ELSEWHERE), (0, 0.7, B)], 3: [(2, 0.5, A)]})
    rare = (51 + 50 * 2 / 3) / 101 * 100
    assert results[task]["APr"] == pytest.approx(rare)
    assert results[task]["APf"] == pytest.approx(100)
    assert results[task]["AP"] == pytest.approx((rare + 100) / 2)
    assert results[task]["AR"] == pytest.approx(100)
    assert math.isnan(results[task]["APc"])
    assert tuple(results[task]) == (*METRIC_NAMES, "ECE", "ECEr", "ECEc", "ECEf")
    # Of medium size is B alone; A matches a small object and the false positive is small itself,
    # so neither counts against it.
    assert results[task]["APm"] == pytest.approx(100)
    assert math.isnan(results[task]["APl"])


def test_half_found(evaluate):
    results = evaluate({1: [(0, 0.9, A)], 3: [(2, 0.9, ELSEWHERE)]})
    assert results["bbox"]["APr"] == pytest.approx(51 / 101 * 100)
    assert results["bbox"]["ARr"] == pytest.approx(50)
    assert results["bbox"]["APf"] == results["bbox"]["ARf"] == 0


def test_class_without_verification_is_not_counted(evaluate):
    # Image 3 says nothing about class 0, nor any image about class 1.
    found = [(0, 0.5, A), (0, 0.5, B)]
    results = evaluate({1: found, 3: [(0, 0.9, A), (1, 0.9, A)]})
    assert results["bbox"]["APr"] == pytest.approx(100)


def test_negative_class_is_a_false_positive(evaluate):
    results = evaluate({1: [(0, 0.5, A), (0, 0.5, B)], 2: [(0, 0.9, A)]})
    assert results["bbox"]["APr"] == pytest.approx(200 / 3)


def test_unmatched_detection_of_a_not_exhaustive_class_is_ignored(evaluate):
    results = evaluate({3: [(2, 0.9, ELSEWHERE), (2, 0.5, A)]})
    assert results["bbox"]["APf"] == results["segm"]["APf"] == pytest.approx(100)


def test_zero_area_is_dropped_as_the_api_does(evaluate):
    # Were they false positives, AP would be two thirds.
    nothing = (30, 30, 0, 0)
    results = evaluate({1: [(0, 0.9, nothing), (0, 0.5, A), (0, 0.5, B)]})
    assert results["bbox"]["APr"] == results["segm"]["APr"] == pytest.approx(100)


@pytest.mark.parametrize("masks", [True, False])
def test_no_detection_is_ap_zero_and_warned_of(evaluate, masks, caplog):
    results = evaluate({}, masks=masks)
    assert ("WARNING", "Evaluating bbox: 0 detections on 3 images ...") in [
        (record.levelname, record.getMessage()) for record in caplog.records
    ]
    assert list(results) == (["bbox", "segm"] if masks else ["bbox"])
    for metrics in results.values():
        assert metrics["AP"] == metrics["APr"] == metrics["APf"] == metrics["AR"] == 0
        assert math.isnan(metrics["APc"])


def test_detection_cap_is_per_image(evaluate):
    detections = {1: [(0, 0.9, A), (0, 0.8, B), (0, 0.7, ELSEWHERE)], 3: [(2, 0.1, A)]}
    assert evaluate(detections, max_dets_per_image=1)["bbox"]["ARr"] == pytest.approx(50)
    assert evaluate(detections, max_dets_per_image=1)["bbox"]["ARf"] == pytest.approx(100)


def test_tasks_can_be_chosen(evaluate):
    assert list(evaluate({1: [(0, 0.9, A)]}, tasks=("segm",))) == ["segm"]
    assert list(evaluate({1: [(0, 0.9, A)]}, tasks=("bbox",))) == ["bbox"]
    with pytest.raises(ValueError, match="'segm' needs pred_masks"):
        evaluate({1: [(0, 0.9, A)]}, masks=False, tasks=("bbox", "segm"))
    with pytest.raises(ValueError, match="keypoints"):
        evaluate({}, tasks=("keypoints",))


def test_second_round_after_reset_gives_the_same(evaluate, toy):
    first = evaluate({1: [(0, 0.9, A)]})
    evaluator = evaluate.evaluator
    evaluator.reset()
    for image_id in toy.images:
        detections = [(0, 0.9, A)] if image_id == 1 else []
        evaluator.process([{"image_id": image_id}], [{"instances": make_instances(detections)}])
    np.testing.assert_equal(evaluator.evaluate(), first)


def test_image_processed_twice_counts_once(evaluate, toy, caplog):
    expected = evaluate({1: [(0, 0.9, A)]})
    again = make_instances([(0, 0.9, ELSEWHERE)])
    evaluate.evaluator.process([{"image_id": 1}], [{"instances": again}])
    with caplog.at_level(logging.WARNING, logger="lt_det"):
        np.testing.assert_equal(evaluate.evaluator.evaluate(), expected)
    assert "1 images were processed again" in caplog.text


def test_images_not_processed_count_as_empty(toy, register, tmp_path, caplog):
    evaluator = LTLVISEvaluator(register(toy.write(tmp_path / "gt.json")))
    evaluator.process([{"image_id": 3}], [{"instances": make_instances([(2, 0.9, A)])}])
    with caplog.at_level(logging.WARNING, logger="lt_det"):
        results = evaluator.evaluate()
    assert "2 of 3 images were not processed" in caplog.text
    assert results["bbox"]["APf"] == pytest.approx(100)
    assert results["bbox"]["APr"] == 0


def test_nothing_processed_gives_no_results(toy, register, tmp_path):
    assert LTLVISEvaluator(register(toy.write(tmp_path / "gt.json"))).evaluate() == {}


def test_groups_can_be_given(evaluate):
    results = evaluate({1: [(0, 0.9, A), (0, 0.9, B)]}, groups=np.array([2, 1, 0]))
    assert results["bbox"]["APf"] == pytest.approx(100)
    assert results["bbox"]["APr"] == 0
    assert evaluate.evaluator.per_class[0]["group"] == "frequent"
    results = evaluate({1: [(0, 0.9, A), (0, 0.9, B)]}, groups=np.array([0, -1, -1]))
    assert math.isnan(results["bbox"]["APf"])
    assert results["bbox"]["AP"] == pytest.approx(50)
    expected = r"one value per class \[3\], .* has 3 categories.*the same categories"
    with pytest.raises(ValueError, match=expected):
        evaluate({}, groups=np.array([0, 1]))
    with pytest.raises(ValueError, match="groups must be 0 rare"):
        evaluate({}, groups=np.array([0, 1, 5]))


def test_contiguous_class_map(toy, register, tmp_path):
    for entry in (*toy.annotations, *toy.categories):
        key = "category_id" if "category_id" in entry else "id"
        entry[key] *= 100
    name = register(
        toy.write(tmp_path / "gt.json"),
        thing_dataset_id_to_contiguous_id={300: 0, 100: 1},
        thing_classes=["last", "first"],
    )
    stats = SimpleNamespace(image_count=np.array([7, 3]), instance_count=np.array([9, 4]))
    evaluator = LTLVISEvaluator(name, class_stats=stats)
    for image_id, box in ((1, (1, 0.9, A)), (3, (0, 0.9, A))):
        evaluator.process([{"image_id": image_id}], [{"instances": make_instances([box])}])
    results = evaluator.evaluate()
    assert results["bbox"]["APf"] == pytest.approx(100)
    assert results["bbox"]["APr"] == pytest.approx(51 / 101 * 100)
    keys = ("class_id", "category_id", "name", "train_image_count", "val_instances")
    rows = [tuple(row[key] for key in keys) for row in evaluator.per_class]
    assert rows == [
        (1, 100, "first", 3, 2),
        (None, 200, "class2", None, 0),
        (0, 300, "last", 7, 1),
    ]


def test_class_that_the_file_lacks_is_refused(toy, register, tmp_path):
    name = register(
        toy.write(tmp_path / "gt.json"), thing_dataset_id_to_contiguous_id={1: 0, 2: 1, 3: 2, 4: 3}
    )
    evaluator = LTLVISEvaluator(name)
    with pytest.raises(ValueError, match=r"predicted classes \[3\] have no category"):
        evaluator.process([{"image_id": 1}], [{"instances": make_instances([(3, 0.9, A)])}])


def test_ignored_ground_truth_does_not_count(toy, evaluate):
    toy.annotations[1]["ignore"] = 1
    results = evaluate({1: [(0, 0.9, B), (0, 0.5, A)]})
    assert results["bbox"]["APr"] == pytest.approx(100)
    assert [row["val_instances"] for row in evaluate.evaluator.per_class] == [1, 0, 1]
    ap = average_precision(evaluate.evaluator.matches["bbox"])
    np.testing.assert_allclose(ap, [100, np.nan, 0], atol=1e-11)


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


def test_half_precision_scores_and_bit_masks(toy, register, tmp_path):
    evaluator = LTLVISEvaluator(register(toy.write(tmp_path / "gt.json")))
    instances = make_instances([(0, 0.5, A), (0, 0.25, B)])
    instances.scores = instances.scores.bfloat16()
    instances.pred_masks = BitMasks(instances.pred_masks)
    evaluator.process([{"image_id": 1}], [{"instances": instances}])
    assert evaluator.evaluate()["segm"]["APr"] == pytest.approx(100)


def test_input_is_not_changed(evaluate, toy, register, tmp_path):
    evaluator = LTLVISEvaluator(register(toy.write(tmp_path / "gt.json")))
    instances = make_instances([(0, 0.5, A)])
    before = instances.pred_boxes.tensor.clone()
    evaluator.process([{"image_id": 1}], [{"instances": instances}])
    evaluator.evaluate()
    assert torch.equal(instances.pred_boxes.tensor, before)
    assert instances.pred_classes.tolist() == [0]


def _image(image_id, **changes):
    instances = make_instances([(0, 0.5, A)])
    if changes:
        fields = {**instances.get_fields(), **changes}
        instances = Instances((100, 100), **fields)
    return [{"image_id": image_id}], [{"instances": instances}]


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (_image(9), "image_id 9 is not in"),
        (_image(1, pred_classes=torch.tensor([3])), r"predicted classes \[3\] have no category"),
        (_image(1, scores=torch.tensor([math.nan])), "not finite"),
        (_image(1, pred_boxes=Boxes(torch.tensor([[0, 0, math.inf, 1]]))), "not finite"),
        (_image(1, pred_masks=torch.ones(1, 50, 50)), r"size \(50, 50\).*says \(100, 100\)"),
    ],
)
def test_detections_that_do_not_fit_are_refused(toy, register, tmp_path, batch, message):
    evaluator = LTLVISEvaluator(register(toy.write(tmp_path / "gt.json")))
    with pytest.raises(ValueError, match=message):
        evaluator.process(*batch)


def test_wrong_registration_is_refused(register, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        LTLVISEvaluator(register(tmp_path / "none.json"))
    with pytest.raises(ValueError, match="no metadata 'json_file'"):
        LTLVISEvaluator(register(""))
