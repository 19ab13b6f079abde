"""The matching of pycocotools, bit for bit; the LVIS API's is that of hotcoco's tests."""

import copy
from dataclasses import fields

import numpy as np
import pytest
from federated_problems import random_problem
from toy_sides import sides_of

from lt_det.evaluation.coco_api import COCOGroundTruth, run_coco_eval
from lt_det.evaluation.group_metrics import IOU_THRESHOLDS
from lt_det.evaluation.lvis_api import LVISGroundTruth, run_lvis_eval
from lt_det.evaluation.matches import Matches
from lt_det.evaluation.matching import find_matches


def assert_equal(found: Matches, expected: Matches):
    for field in fields(Matches):
        a, b = (getattr(matches, field.name) for matches in (found, expected))
        np.testing.assert_array_equal(a, b, strict=True, err_msg=field.name)


@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_equal_to_pycocotools(task, tmp_path):
    num_crowds = 0
    for seed in range(100):
        toy, records, cap = random_problem(seed, task)
        path = toy.write(tmp_path / "gt.json")
        num_crowds += any("iscrowd" in a for a in toy.annotations)
        run = run_coco_eval(COCOGroundTruth(path), copy.deepcopy(records), task, cap)
        sides = sides_of(path, records, task, cap, "coco")
        assert_equal(find_matches(sides, IOU_THRESHOLDS), Matches.from_coco_eval(run))
    assert num_crowds > 10


@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_equal_to_the_lvis_api(task, tmp_path):
    for seed in range(30):
        toy, records, cap = random_problem(seed, task)
        path = toy.write(tmp_path / "gt.json")
        run = run_lvis_eval(LVISGroundTruth(path), copy.deepcopy(records), task, cap)
        sides = sides_of(path, records, task, cap)
        assert_equal(find_matches(sides, IOU_THRESHOLDS), Matches.from_lvis_eval(run))
