"""hotcoco against the official API: whole arrays, bit for bit."""

import copy
from dataclasses import fields

import numpy as np
import pycocotools.mask as mask_utils
import pytest
from federated_problems import CAPS, assert_equal, columns_of, random_problem
from toy_lvis import ToyLVIS

from lt_det.evaluation.official.hotcoco_api import run_hotcoco_eval
from lt_det.evaluation.official.lvis_api import LVISGroundTruth

pytest.importorskip("hotcoco")

TASKS = ("bbox", "segm")
PROBLEMS_AT_ONCE = 30


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("block", range(10))
def test_random_federated_problems(task, block, tmp_path):
    for seed in range(block * PROBLEMS_AT_ONCE, (block + 1) * PROBLEMS_AT_ONCE):
        toy, records, cap = random_problem(seed, task)
        assert_equal(toy.write(tmp_path / "gt.json"), records, task, cap)


@pytest.mark.parametrize("task", TASKS)
def test_problems_hold_the_hard_cases(task):
    seen = {cap: 0 for cap in CAPS}
    ties = binding = empty = classes_without_gt = ignored = crowd = pictures_without_both = 0
    for seed in range(100):
        toy, records, cap = random_problem(seed, task)
        seen[cap] += 1
        places = [(r["image_id"], r["category_id"], r["score"]) for r in records]
        ties += len(set(places)) < len(places)
        per_image = {i: sum(r["image_id"] == i for r in records) for i in toy.images}
        binding += max(per_image.values()) > cap
        area = [
            r["bbox"][2] * r["bbox"][3] if task == "bbox" else mask_utils.area(r["segmentation"])
            for r in records
        ]
        empty += 0 in area
        present = {a["category_id"] for a in toy.annotations}
        classes_without_gt += len(present) < len(toy.categories)
        ignored += any("ignore" in a for a in toy.annotations)
        crowd += any("iscrowd" in a for a in toy.annotations)
        annotated = {a["image_id"] for a in toy.annotations}
        pictures_without_both += any(n == 0 and i not in annotated for i, n in per_image.items())
    counts = ties, binding, empty, classes_without_gt, ignored, crowd, pictures_without_both
    assert min(counts) >= 10, counts
    assert min(seen.values()) >= 5, seen


@pytest.mark.parametrize("task", TASKS)
def test_no_detection(task, tmp_path):
    path = random_problem(1, task).toy.write(tmp_path / "gt.json")
    evaluation, matches = assert_equal(path, [], task, 300)
    assert set(np.unique(evaluation.precision)) == {-1.0, 0.0}
    assert len(matches.score) == 0


def test_negative_cap_is_none(tmp_path):
    toy, records, _ = random_problem(4, "bbox")
    assert_equal(toy.write(tmp_path / "gt.json"), records * 20, "bbox", -1)


@pytest.mark.parametrize("cap", [-1, 400])
def test_more_than_300_detections_of_a_class_in_a_picture(cap, tmp_path):
    toy = ToyLVIS("r")
    toy.image(1)
    toy.box(1, 1, (10, 10, 20, 20))
    found = {"image_id": 1, "category_id": 1}
    records = [found | {"score": 0.9, "bbox": [60, 60, 20, 20]}] * 350
    records.append(found | {"score": 0.1, "bbox": [10, 10, 20, 20]})
    evaluation, _ = assert_equal(toy.write(tmp_path / "gt.json"), records, "bbox", cap)
    assert evaluation.recall.max() == 1


def test_inputs_are_not_changed(tmp_path):
    toy, records, cap = random_problem(2, "segm")
    ground_truth = LVISGroundTruth(toy.write(tmp_path / "gt.json"))
    columns = columns_of(records, ground_truth, "segm")
    before = copy.deepcopy((ground_truth.dataset, columns))
    run_hotcoco_eval(ground_truth, columns, "segm", cap)
    assert ground_truth.dataset == before[0]
    for field in fields(columns):
        np.testing.assert_equal(getattr(columns, field.name), getattr(before[1], field.name))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("number", [1, 7])
def test_classes_in_several_blocks(monkeypatch, tmp_path, task, number):
    monkeypatch.setattr("lt_det.evaluation.official.hotcoco_api.DETECTIONS_AT_ONCE", number)
    for seed in range(5):
        toy, records, cap = random_problem(seed, task)
        assert_equal(toy.write(tmp_path / "gt.json"), records, task, cap)
