"""The matching of pycocotools, bit for bit; hotcoco's tests have that of the LVIS API."""

import copy

import pytest
from federated_problems import random_problem
from toy_sides import assert_same_matches, sides_of

from lt_det.evaluation.matching.matches import Matches
from lt_det.evaluation.matching.sides import find_matches
from lt_det.evaluation.metrics.group_metrics import IOU_THRESHOLDS
from lt_det.evaluation.official.coco_api import COCOGroundTruth, run_coco_eval


@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_equal_to_pycocotools(task, tmp_path):
    num_crowds = 0
    for seed in range(100):
        toy, records, cap = random_problem(seed, task, "coco")
        path = toy.write(tmp_path / "gt.json")
        num_crowds += any("iscrowd" in a for a in toy.annotations)
        run = run_coco_eval(COCOGroundTruth(path), copy.deepcopy(records), task, cap)
        sides = sides_of(path, records, task, cap, "coco")
        assert_same_matches(find_matches(sides, IOU_THRESHOLDS), Matches.from_coco_eval(run))
    assert num_crowds > 10
