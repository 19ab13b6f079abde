"""Random small federated problems that hold every case in which evaluators are known to differ."""

import copy
from dataclasses import fields
from typing import NamedTuple

import numpy as np
import pycocotools.mask as mask_utils
from toy_lvis import ToyLVIS

from lt_det.evaluation.matching.detection_columns import DetectionColumns
from lt_det.evaluation.matching.detections import ImageDetections
from lt_det.evaluation.matching.matches import Matches
from lt_det.evaluation.metrics.group_metrics import Evaluation
from lt_det.evaluation.official.hotcoco_api import run_hotcoco_eval
from lt_det.evaluation.official.lvis_api import LVISGroundTruth, run_lvis_eval

CAPS = (1, 2, 5, 20, 300, 500)


class Problem(NamedTuple):
    """An LVIS-format set, results in LVIS's format, and detections kept per image."""

    toy: ToyLVIS
    results: list[dict]
    cap: int


def random_problem(seed: int, task: str, data_format: str = "lvis") -> Problem:
    """A problem of up to 6 pictures and 4 classes, of any ids, in any order.

    In the COCO format nothing is ignored; in the LVIS format something counts.
    """
    rng = np.random.default_rng(seed)
    toy = ToyLVIS("".join(rng.choice(list("rcf"), rng.integers(1, 5))))
    for category, new_id in zip(toy.categories, rng.permutation(50).tolist(), strict=False):
        category["id"] = new_id + 1
    category_ids = [category["id"] for category in toy.categories]
    # Objects of small size only, or of all three.
    size = int(rng.choice([24, 260]))
    results = []
    for image_id in rng.permutation(1000)[: rng.integers(1, 7)].tolist():
        negative, not_exhaustive = (
            [c for c in category_ids if rng.random() < share] for share in (0.4, 0.3)
        )
        toy.image(image_id, size, size + 3, negative, not_exhaustive)
        for _ in range(rng.integers(0, 8) * (rng.random() < 0.8)):
            results += _object(toy, image_id, int(rng.choice(category_ids)), size, rng)
        for _ in range(rng.integers(0, 8) * (rng.random() < 0.8)):
            results.append((image_id, int(rng.choice(category_ids)), _box(size, rng)))
    if data_format == "coco":
        for annotation in toy.annotations:
            annotation.pop("ignore", None)
    # A file of which nothing is left is refused.
    toy.box(next(iter(toy.images)), category_ids[0], (1, 1, 8, 8))
    _shuffle_ids(toy, rng)
    return Problem(toy, _records(toy, results, task, rng), int(rng.choice(CAPS)))


def _object(toy: ToyLVIS, image_id: int, category_id: int, size: int, rng) -> list[tuple]:
    """Add an object; returns up to three detections near it."""
    box = _box(size, rng)
    toy.box(image_id, category_id, box)
    annotation = toy.annotations[-1]
    if rng.random() < 0.4:
        annotation["segmentation"] = _rle(box, toy.images[image_id], rng)
    if rng.random() < 0.05:
        annotation["area"] = 0
    if rng.random() < 0.1:
        annotation["ignore"] = 1
    if rng.random() < 0.1:
        annotation["iscrowd"] = 1
    # Whole pixels give equal IoUs, also with several objects.
    shifts = [
        rng.integers(-1, 2, 4) if rng.random() < 0.7 else rng.normal(0, 1, 4)
        for _ in range(rng.integers(0, 4))
    ]
    return [(image_id, category_id, _float32(np.array(box) + shift)) for shift in shifts]


def _box(size: int, rng) -> list[float]:
    box = rng.integers(0, size // 2, 4).astype(float)
    if rng.random() < 0.5:
        box += rng.normal(0, 1, 4)
    if rng.random() < 0.1:
        box[rng.integers(2, 4)] = 0
    return _float32(box)


def _float32(box: np.ndarray) -> list[float]:
    box[2:] = np.maximum(box[2:], 0)
    return box.astype(np.float32).tolist()


def _rle(box: list[float], image: dict, rng) -> dict:
    """The box's pixels, or every other row of them; empty for a box without area."""
    x, y, w, h = (max(int(v), 0) for v in box)
    mask = np.zeros((image["height"], image["width"]), np.uint8, order="F")
    mask[y : y + h : rng.integers(1, 3), x : x + w] = 1
    rle = mask_utils.encode(mask)
    return {"size": rle["size"], "counts": rle["counts"].decode("ascii")}


def _shuffle_ids(toy: ToyLVIS, rng) -> None:
    ids = rng.permutation(5000)[: len(toy.annotations)] + 1
    for annotation, new_id in zip(toy.annotations, ids.tolist(), strict=True):
        annotation["id"] = new_id
    toy.annotations = [toy.annotations[i] for i in rng.permutation(len(toy.annotations))]


def _records(toy: ToyLVIS, results: list[tuple], task: str, rng) -> list[dict]:
    """In any order, with scores of few or many values; some differ in their last bits alone."""
    levels = int(rng.choice([1, 2, 5, 1000]))
    records = []
    for i in rng.permutation(len(results)):
        image_id, category_id, box = results[i]
        score = rng.integers(0, levels + 1) / levels * rng.choice([1, 1, 1 - 1e-15])
        record = {"image_id": image_id, "category_id": category_id, "score": float(score)}
        if task == "bbox":
            record["bbox"] = box
        else:
            record["segmentation"] = _rle(box, toy.images[image_id], rng)
        records.append(record)
    return records


def columns_of(records: list[dict], ground_truth, task: str) -> DetectionColumns:
    """Result records as columns, each image's in their order."""
    detections = []
    for image_id, image in ground_truth.imgs.items():
        found = [r for r in records if r["image_id"] == image_id]
        boxes = [r["bbox"] for r in found] if task == "bbox" else None
        rles = [r["segmentation"]["counts"].encode() for r in found] if task == "segm" else None
        detections.append(
            ImageDetections(
                image_id,
                (image["height"], image["width"]),
                np.array([r["category_id"] for r in found], dtype=np.int32),
                np.array([r["score"] for r in found], dtype=np.float64),
                None if boxes is None else np.array(boxes, dtype=np.float64).reshape(-1, 4),
                rles,
            )
        )
    return DetectionColumns.of(detections, {i: i for i in ground_truth.cats})


def _official(path, records, task, cap):
    run = run_lvis_eval(LVISGroundTruth(path), copy.deepcopy(records), task, cap)
    arrays = run.eval["precision"], run.eval["recall"]
    return Evaluation(*arrays, run.params.iou_thrs), Matches.from_lvis_eval(run)


def assert_equal(path, records, task, cap):
    """Equal bits, types and memory layout; returns the evaluation."""
    expected = _official(path, records, task, cap)
    ground_truth = LVISGroundTruth(path)
    found = run_hotcoco_eval(ground_truth, columns_of(records, ground_truth, task), task, cap)
    for a, b in zip(found[0], expected[0], strict=True):
        np.testing.assert_array_equal(a, b, strict=True)
        assert a.strides == b.strides
    for field in fields(Matches):
        a, b = (getattr(matches, field.name) for _, matches in (found, expected))
        np.testing.assert_array_equal(a, b, strict=True, err_msg=field.name)
    return found


def rle_of(box: list[float], size: int) -> dict:
    """The mask of a box of whole numbers in a square picture, as files have it."""
    x, y, w, h = map(int, box)
    mask = np.zeros((size, size), np.uint8, order="F")
    mask[y : y + h, x : x + w] = 1
    rle = mask_utils.encode(mask)
    return {"size": rle["size"], "counts": rle["counts"].decode("ascii")}
