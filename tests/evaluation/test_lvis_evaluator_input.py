"""What LTLVISEvaluator takes: pictures again or never, class maps, odd tensors; what it refuses."""

import copy
import logging
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from detectron2.structures import BitMasks, Boxes, Instances
from toy_lvis import ELSEWHERE, A, B, make_instances

from lt_det.evaluation.lvis_evaluator import LTLVISEvaluator


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


def test_contiguous_class_map(toy, register, tmp_path):
    for entry in (*toy.annotations, *toy.categories):
        key = "category_id" if "category_id" in entry else "id"
        entry[key] *= 100
    for image in toy.images.values():
        for key in ("neg_category_ids", "not_exhaustive_category_ids"):
            image[key] = [100 * i for i in image[key]]
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


def test_half_precision_scores_and_bit_masks(toy, register, tmp_path):
    evaluator = LTLVISEvaluator(register(toy.write(tmp_path / "gt.json")))
    instances = make_instances([(0, 0.5, A), (0, 0.25, B)])
    instances.scores = instances.scores.bfloat16()
    instances.pred_masks = BitMasks(instances.pred_masks)
    evaluator.process([{"image_id": 1}], [{"instances": instances}])
    assert evaluator.evaluate()["segm"]["APr"] == pytest.approx(100)


def test_input_is_not_changed(toy, register, tmp_path):
    evaluator = LTLVISEvaluator(register(toy.write(tmp_path / "gt.json")))
    instances = make_instances([(0, 0.5, A)])
    before = copy.deepcopy(instances)
    evaluator.process([{"image_id": 1}], [{"instances": instances}])
    evaluator.evaluate()
    assert list(instances.get_fields()) == list(before.get_fields())
    assert torch.equal(instances.pred_boxes.tensor, before.pred_boxes.tensor)
    for name in ("scores", "pred_classes", "pred_masks"):
        assert torch.equal(instances.get(name), before.get(name)), name


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
