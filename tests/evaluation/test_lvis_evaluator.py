"""LTLVISEvaluator: metrics by hand, and what counts as a true or false positive."""

import math

import numpy as np
import pytest
from toy_lvis import ELSEWHERE, A, B

from lt_det.evaluation.metrics.bootstrap import average_precision
from lt_det.evaluation.metrics.group_metrics import METRIC_NAMES


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


def test_ignored_ground_truth_does_not_count(toy, evaluate):
    toy.annotations[1]["ignore"] = 1
    results = evaluate({1: [(0, 0.9, B), (0, 0.5, A)]})
    assert results["bbox"]["APr"] == pytest.approx(100)
    assert [row["val_instances"] for row in evaluate.evaluator.per_class] == [1, 0, 1]
    ap = average_precision(evaluate.evaluator.matches["bbox"])
    np.testing.assert_allclose(ap, [100, np.nan, 0], atol=1e-11)


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
