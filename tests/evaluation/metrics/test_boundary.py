"""Boundary AP against its definition: whole pictures eroded, in the official APIs."""

import copy
import json

import cv2
import numpy as np
import pycocotools.mask as mask_utils
import pytest
from federated_problems import random_problem
from lvis import LVISEval, LVISResults
from paths import SHARED_DATA
from pycocotools.cocoeval import COCOeval
from toy_lvis import random_set
from toy_sides import assert_same_matches, sides_of

from lt_det.evaluation.matching.matches import Matches
from lt_det.evaluation.matching.sides import find_matches
from lt_det.evaluation.metrics.bootstrap import average_precision
from lt_det.evaluation.metrics.boundary import Boundary, boundary_iou, boundary_overlaps
from lt_det.evaluation.metrics.group_metrics import IOU_THRESHOLDS
from lt_det.evaluation.official.coco_api import COCOGroundTruth
from lt_det.evaluation.official.lvis_api import LVISGroundTruth, run_lvis_eval

VAL64 = SHARED_DATA / "lvis_val64/lvis_v0.5_val64.json"


def slow_boundary(rle, dilation):
    """As boundary-iou-api defines it."""
    mask = mask_utils.decode([rle])[..., 0]
    height, width = mask.shape
    distance = max(round(dilation * np.sqrt(height**2 + width**2)), 1)
    bordered = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    for _ in range(distance):
        bordered = cv2.erode(bordered, np.ones((3, 3), np.uint8))
    boundary = mask - bordered[1:-1, 1:-1]
    return mask_utils.encode(np.asfortranarray(boundary))


def slow_iou(dets, gts, crowd, dilation):
    if not dets or not gts:
        return []
    ious = mask_utils.iou(dets, gts, crowd)
    boundaries = ([slow_boundary(rle, dilation) for rle in side] for side in (dets, gts))
    of_boundary = mask_utils.iou(*boundaries, crowd)
    return np.where(np.array(crowd, bool), ious, np.minimum(ious, of_boundary))


def slow_api(base, dilation):
    """An API's evaluation with `slow_iou`."""

    class Eval(base):
        def compute_iou(self, image_id, category_id):
            gts, dets = self._gts[image_id, category_id], self._dts[image_id, category_id]
            dets = sorted(dets, key=lambda d: -d["score"])
            if hasattr(self.params, "maxDets"):
                dets = dets[: self.params.maxDets[-1]]
            crowd = [int(base is COCOeval and g["iscrowd"]) for g in gts]
            shapes = ([a["segmentation"] for a in side] for side in (dets, gts))
            return slow_iou(*shapes, crowd, dilation)

        computeIoU = compute_iou

    return Eval


def boundary_matches(path, records, cap=-1, data_format="lvis", dilation=0.02):
    def change(overlaps, sides):
        return boundary_overlaps(overlaps, sides, dilation)

    sides = sides_of(path, records, "segm", cap, data_format)
    return find_matches(sides, IOU_THRESHOLDS, change)


def blob(rng, height=60, width=80):
    mask = np.zeros((height, width), np.uint8)
    for _ in range(3):
        center = tuple(int(v) for v in rng.integers(0, [width, height]))
        cv2.circle(mask, center, int(rng.integers(3, 25)), 1, -1)
    return mask_utils.encode(np.asfortranarray(mask))


def noise(rng, height=60, width=80):
    """Hundreds of runs."""
    mask = blob(rng, height, width)
    pixels = mask_utils.decode([mask])[..., 0] & (rng.random((height, width)) < 0.8)
    return mask_utils.encode(np.asfortranarray(pixels.astype(np.uint8)))


def square(x):
    mask = np.zeros((40, 40), np.uint8, order="F")
    mask[5:15, x : x + 10] = 1
    return mask_utils.encode(mask)


@pytest.mark.parametrize("dilation", [0.001, 0.02, 0.1])
@pytest.mark.parametrize("make", [blob, noise])
def test_boundary_iou_of_masks_that_may_touch_the_border(make, dilation):
    rng = np.random.default_rng(0)
    ious = []
    for _ in range(100):
        a, b = make(rng), make(rng)
        expected = mask_utils.iou([slow_boundary(a, dilation)], [slow_boundary(b, dilation)], [0])
        found = boundary_iou(Boundary.of(a, dilation), Boundary.of(b, dilation))
        assert found == expected[0, 0]
        ious.append(found)
    assert np.mean(np.array(ious) > 0) > 0.5


def test_two_squares_by_hand():
    # Rings of 36 pixels, which share 9 of the upper and of the lower side.
    one, other = (Boundary.of(square(x), 1e-9) for x in (10, 11))
    assert np.count_nonzero(one.pixels) == 36
    assert boundary_iou(one, other) == 18 / (36 + 36 - 18)
    assert boundary_iou(one, one) == 1


@pytest.mark.parametrize("dilation", [0.01, 0.03])
def test_equal_to_the_lvis_api_with_the_slow_definition(dilation, tmp_path):
    lower = 0
    for seed in range(40):
        toy, records, cap = random_problem(seed, "segm")
        if not records:
            continue
        path = toy.write(tmp_path / "gt.json")
        found = boundary_matches(path, records, cap, dilation=dilation)
        truth = LVISGroundTruth(path)
        masks = run_lvis_eval(truth, copy.deepcopy(records), "segm", cap)
        truth = LVISGroundTruth(path)
        run = slow_api(LVISEval, dilation)(
            truth, LVISResults(truth, copy.deepcopy(records), cap), "segm"
        )
        run.evaluate()
        assert_same_matches(found, Matches.from_lvis_eval(run))
        lower += (found.matched < Matches.from_lvis_eval(masks).matched).any()
    assert lower > 10


def test_equal_to_pycocotools_with_the_slow_definition_and_crowds(tmp_path):
    for seed in range(40):
        toy, records, cap = random_problem(seed, "segm", "coco")
        if not records:
            continue
        path = toy.write(tmp_path / "gt.json")
        found = boundary_matches(path, records, cap, "coco")
        truth = COCOGroundTruth(path)
        run = slow_api(COCOeval, 0.02)(truth, truth.loadRes(copy.deepcopy(records)), "segm")
        run.params.maxDets = [cap]
        run.evaluate()
        assert_same_matches(found, Matches.from_coco_eval(run))


def test_a_boundary_as_wide_as_the_picture_is_the_mask(tmp_path):
    toy, records, cap = random_problem(7, "segm")
    path = toy.write(tmp_path / "gt.json")
    found = boundary_matches(path, records, cap, dilation=2)
    expected = run_lvis_eval(LVISGroundTruth(path), copy.deepcopy(records), "segm", cap)
    assert found.matched.any()
    assert_same_matches(found, Matches.from_lvis_eval(expected))


def test_the_truth_itself_has_ap_100(tmp_path):
    toy, _ = random_set(0)
    path = toy.write(tmp_path / "gt.json")
    truth = LVISGroundTruth(path)
    records = []
    for a in toy.annotations:
        rle = truth.ann_to_rle(a)
        rle["counts"] = rle["counts"].decode()
        kept = {key: a[key] for key in ("image_id", "category_id")}
        records.append(kept | {"score": 1.0, "segmentation": rle})
    ap = average_precision(boundary_matches(path, records))
    np.testing.assert_allclose(ap, 100, rtol=1e-12)


@pytest.mark.skipif(not VAL64.exists(), reason=f"{VAL64} is not on this machine")
def test_equal_to_the_slow_definition_on_real_masks(tmp_path):
    """Shifted masks of 64 pictures of LVIS v0.5 val, with the classes that these have."""
    dataset = json.loads(VAL64.read_text())
    used = {a["category_id"] for a in dataset["annotations"]}
    dataset["categories"] = [c for c in dataset["categories"] if c["id"] in used]
    for image in dataset["images"]:
        for key in ("neg_category_ids", "not_exhaustive_category_ids"):
            image[key] = [i for i in image[key] if i in used]
    (tmp_path / "gt.json").write_text(json.dumps(dataset))
    path = str(tmp_path / "gt.json")
    truth, rng, records = LVISGroundTruth(path), np.random.default_rng(0), []
    for annotation in dataset["annotations"][::4]:
        mask = mask_utils.decode([truth.ann_to_rle(annotation)])[..., 0]
        shifted = np.roll(mask, rng.integers(-4, 5, 2), (0, 1))
        rle = mask_utils.encode(np.asfortranarray(shifted))
        record = {key: annotation[key] for key in ("image_id", "category_id")}
        record["segmentation"] = {"size": rle["size"], "counts": rle["counts"].decode()}
        records.append(record | {"score": float(np.round(rng.random(), 1))})
    found = boundary_matches(path, records)
    run = slow_api(LVISEval, 0.02)(truth, LVISResults(truth, copy.deepcopy(records), -1), "segm")
    run.evaluate()
    assert_same_matches(found, Matches.from_lvis_eval(run))
    assert 0 < found.matched[-1].mean() < found.matched[0].mean() < 1
