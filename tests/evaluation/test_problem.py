"""The rules of the official APIs and their matching, against the APIs: all cells, bit for bit."""

import copy

import numpy as np
import pytest
from federated_problems import random_problem
from toy_problems import problem_of

from lt_det.evaluation.coco_api import COCOGroundTruth, run_coco_eval
from lt_det.evaluation.lvis_api import LVISGroundTruth, run_lvis_eval
from lt_det.evaluation.matching import evaluate_overlaps


def own_overlaps(problem, dets, gts):
    """What the APIs use."""
    return problem.overlaps(np.arange(dets.start, dets.stop), np.arange(gts.start, gts.stop))


@pytest.mark.parametrize("task", ["bbox", "segm"])
@pytest.mark.parametrize("seeds", [range(40), range(40, 80)])
def test_equal_to_the_lvis_api(task, seeds, tmp_path):
    for seed in seeds:
        toy, records, cap = random_problem(seed, task)
        path = toy.write(tmp_path / "gt.json")
        run = run_lvis_eval(LVISGroundTruth(path), copy.deepcopy(records), task, cap)
        found = evaluate_overlaps(problem_of(path, records, task, cap), own_overlaps)
        np.testing.assert_array_equal(found.precision, run.eval["precision"])
        np.testing.assert_array_equal(found.recall, run.eval["recall"])


@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_equal_to_pycocotools(task, tmp_path):
    num_crowds = 0
    for seed in range(80):
        toy, records, cap = random_problem(seed, task)
        path = toy.write(tmp_path / "gt.json")
        num_crowds += any("iscrowd" in a for a in toy.annotations)
        run = run_coco_eval(COCOGroundTruth(path), copy.deepcopy(records), task, cap)
        found = evaluate_overlaps(problem_of(path, records, task, cap, "coco"), own_overlaps)
        np.testing.assert_array_equal(found.precision, run.eval["precision"][..., -1])
        np.testing.assert_array_equal(found.recall, run.eval["recall"][..., -1])
    assert num_crowds > 5


def test_images_come_whole_and_in_order(tmp_path):
    toy, records, _ = random_problem(4, "bbox")
    problem = problem_of(toy.write(tmp_path / "gt.json"), records)
    seen = np.zeros(len(problem.found), dtype=int)
    for dets, gts in problem.images():
        seen[dets] += 1
        (image,) = set(problem.found.image_index[dets])
        assert (np.diff(problem.found.score[dets]) <= 0).all()
        expected = np.flatnonzero(problem.truth.image_index == image)
        np.testing.assert_array_equal(np.sort(gts), expected)
        assert (np.diff(problem.truth.source[gts]) > 0).all()
    assert (seen == 1).all()
