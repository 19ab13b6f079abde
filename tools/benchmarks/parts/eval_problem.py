"""A federated evaluation problem of the shape of LVIS v1's validation set, generated.

Classes have the image rates of LVIS v1, so that as few of them as there are held by a picture.
What a real detector would change is the share of its detections on verified classes: here 60 %.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pycocotools.mask as mask_utils
from detectron2.data.datasets.lvis_v1_category_image_count import LVIS_CATEGORY_IMAGE_COUNT

from lt_det.evaluation.matching.detection_columns import DetectionColumns

__all__ = ["NUM_IMAGES", "make_detections", "make_ground_truth"]

# LVIS v1's validation set: pictures, and annotations per (picture, class) pair that has any.
NUM_IMAGES = 19_809
_INSTANCES_PER_PAIR = 3.45
_TRAINING_IMAGES = 100_170
_NEGATIVES_PER_IMAGE = 9
_HEIGHT, _WIDTH = 480, 640
_DETECTIONS_PER_IMAGE = 300
# Of each picture's detections: copies of a ground truth, and others on classes it verifies.
_COPIES, _ON_VERIFIED = 0.2, 0.4
_NOISE = 0.15
_ANGLES = np.linspace(0, 2 * np.pi, 24, endpoint=False)


def make_ground_truth(num_images: int, with_masks: bool = True, seed: int = 0) -> dict[str, Any]:
    """The content of an LVIS v1 annotation file, or of one with boxes alone."""
    rng = np.random.default_rng(seed)
    counts = {c["id"]: c["image_count"] for c in LVIS_CATEGORY_IMAGE_COUNT}
    ids = np.array(sorted(counts))
    rates = np.array([counts[i] for i in ids.tolist()]) / _TRAINING_IMAGES
    images, annotations = [], []
    for image_id in range(1, num_images + 1):
        present = ids[rng.random(len(ids)) < rates]
        negatives = np.setdiff1d(rng.choice(ids, _NEGATIVES_PER_IMAGE, replace=False), present)
        images.append(
            {
                "id": image_id,
                "height": _HEIGHT,
                "width": _WIDTH,
                "neg_category_ids": negatives.tolist(),
                "not_exhaustive_category_ids": present[rng.random(len(present)) < 0.1].tolist(),
            }
        )
        per_class = rng.geometric(1 / _INSTANCES_PER_PAIR, len(present))
        classes = np.repeat(present, per_class).tolist()
        for category_id, box in zip(classes, _boxes(rng, len(classes)), strict=True):
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": category_id,
                "bbox": box.round(2).tolist(),
                "area": float(round(np.pi / 4 * box[2] * box[3], 2)),
            }
            if with_masks:
                annotation["segmentation"] = [_polygon(box).round(2).ravel().tolist()]
            annotations.append(annotation)
    categories = [
        {"id": i, "name": f"class {i}", "frequency": _frequency(counts[i])} for i in ids.tolist()
    ]
    return {"images": images, "annotations": annotations, "categories": categories}


def make_detections(
    dataset: dict[str, Any], with_masks: bool = False, seed: int = 1
) -> DetectionColumns:
    """Detections of a moderate detector on a ground truth of `make_ground_truth`."""
    rng = np.random.default_rng(seed)
    truth = [([], []) for _ in dataset["images"]]
    for annotation in dataset["annotations"]:
        of_image = truth[annotation["image_id"] - 1]
        of_image[0].append(annotation["bbox"])
        of_image[1].append(annotation["category_id"])
    all_ids = np.array([c["id"] for c in dataset["categories"]])
    boxes, classes, scores = [], [], []
    for image, (gt_boxes, gt_classes) in zip(dataset["images"], truth, strict=True):
        found = _detections(rng, np.array(gt_boxes), np.array(gt_classes), image, all_ids)
        for column, values in zip((boxes, classes, scores), found, strict=True):
            column.append(values)
    num_images = len(dataset["images"])
    boxes = np.concatenate(boxes).astype(np.float32)
    return DetectionColumns(
        [image["id"] for image in dataset["images"]],
        np.tile([_HEIGHT, _WIDTH], (num_images, 1)),
        np.repeat(np.arange(num_images, dtype=np.int32), _DETECTIONS_PER_IMAGE),
        np.concatenate(classes),
        np.concatenate(scores).astype(np.float32).astype(np.float64),
        boxes,
        [_mask(box) for box in boxes] if with_masks else None,
    )


def _detections(rng, gt_boxes, gt_classes, image, all_ids):
    """Boxes, category ids and scores of one image."""
    total = _DETECTIONS_PER_IMAGE
    num_copies = int(total * _COPIES) if len(gt_boxes) else 0
    num_verified = int(total * _ON_VERIFIED)
    boxes, scores = _boxes(rng, total), rng.beta(0.5, 6, total)
    verified = np.concatenate([gt_classes, image["neg_category_ids"]]).astype(np.int64)
    classes = rng.choice(all_ids, total)
    classes[num_copies : num_copies + num_verified] = rng.choice(verified, num_verified)
    if num_copies:
        chosen = rng.integers(0, len(gt_boxes), num_copies)
        size = np.tile(gt_boxes[chosen][:, 2:], 2)
        noise = rng.normal(0, _NOISE, (num_copies, 4)) * rng.random((num_copies, 1))
        boxes[:num_copies] = _clipped(gt_boxes[chosen] + noise * size)
        classes[:num_copies] = gt_classes[chosen]
        scores[:num_copies] = rng.beta(2, 2, num_copies) * np.exp(-3 * np.abs(noise).sum(axis=1))
    order = np.argsort(-scores, kind="stable")
    return boxes[order], classes[order], scores[order]


def _boxes(rng: np.random.Generator, number: int) -> np.ndarray:
    """x, y, width, height of objects, most of them small as LVIS's [N, 4]."""
    sizes = np.exp(rng.normal(3.6, 0.9, (number, 2))).clip(4, [_WIDTH - 2, _HEIGHT - 2])
    corners = rng.random((number, 2)) * ([_WIDTH, _HEIGHT] - sizes)
    return np.hstack([corners, sizes])


def _clipped(boxes: np.ndarray) -> np.ndarray:
    ends = np.minimum(boxes[:, :2] + boxes[:, 2:].clip(2), [_WIDTH, _HEIGHT])
    starts = boxes[:, :2].clip(0, ends - 1)
    return np.hstack([starts, ends - starts])


def _polygon(box: np.ndarray) -> np.ndarray:
    """Points of the ellipse in a box [24, 2]."""
    radius = box[2:] / 2
    return box[:2] + radius + radius * np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


def _mask(box: np.ndarray) -> bytes:
    polygon = _polygon(box.astype(np.float64)).ravel().tolist()
    return mask_utils.frPyObjects([polygon], _HEIGHT, _WIDTH)[0]["counts"]


def _frequency(image_count: int) -> str:
    return "r" if image_count <= 10 else "c" if image_count <= 100 else "f"
