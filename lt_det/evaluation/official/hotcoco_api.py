"""The Rust package ``hotcoco``, brought to the LVIS API's numbers bit for bit.

By itself it differs from the API in these, which are settled before it sees the data:

- The API drops detections and ground truth without area; hotcoco counts them.
- The API reads ``ignore`` of an annotation, hotcoco its ``iscrowd``, which the API does not know.
- Polygons are rasterised by pycocotools for both.

Its matches would come as lists, at eight times the cost of the evaluation: `find_matches`.
"""

from typing import Any

import numpy as np
from lvis import LVIS

from lt_det.evaluation.matching.detection_columns import DetectionColumns
from lt_det.evaluation.matching.federated import FederatedTruth
from lt_det.evaluation.matching.matches import Matches
from lt_det.evaluation.matching.sides import Sides, find_matches
from lt_det.evaluation.metrics.group_metrics import IOU_THRESHOLDS, RECALL_THRESHOLDS, Evaluation
from lt_det.utils.garbage import no_garbage_collection

__all__ = ["HotcocoRefusalError", "evaluate_arrays", "run_hotcoco_eval"]

DETECTIONS_AT_ONCE = 1 << 20
"""hotcoco takes about 300 bytes each, and a mask a dict beside."""

_LISTS = ("neg_category_ids", "not_exhaustive_category_ids")
# All, small, medium, large.
_NUM_AREAS = 4
# Below every area range, so that the object is ignored in all of them.
_IGNORED_AREA = -1.0
_LARGEST_EXACT = 2**53
_ANY_MASK = {"size": [1, 1], "counts": b"01"}


class HotcocoRefusalError(ValueError):
    """Ground truth that the LVIS API takes and hotcoco does not, such as ids below 0."""


def _refuse_ids(truth: FederatedTruth) -> None:
    """Refuse ids that are text, or that float64 does not hold exactly."""
    for ids in (truth.image_ids, truth.category_ids):
        if ids.dtype.kind != "i" or (len(ids) and max(-ids[0], ids[-1]) > _LARGEST_EXACT):
            raise HotcocoRefusalError("hotcoco takes no ids that are text or beyond 2^53")


@no_garbage_collection()
def run_hotcoco_eval(
    ground_truth: LVIS, detections: DetectionColumns, task: str, max_dets_per_image: int = 300
) -> tuple[Evaluation, Matches]:
    """Evaluate detections as `lt_det.evaluation.official.lvis_api.run_lvis_eval` does.

    Args:
        ground_truth: see there; not changed.
        detections: see there.
        task: see there.
        max_dets_per_image: see there.

    Returns:
        The API's arrays, and its matches over all areas.

    Raises:
        HotcocoRefusalError: if hotcoco does not take the ground truth.
    """
    truth = FederatedTruth(ground_truth)
    _refuse_ids(truth)
    detections, areas = truth.evaluated(detections, task, max_dets_per_image)
    evaluation = evaluate_arrays(truth, detections, areas, task)
    sides = Sides.of(truth, detections, areas, task)
    return evaluation, find_matches(sides, evaluation.iou_thresholds)


def evaluate_arrays(
    truth: FederatedTruth, detections: DetectionColumns, areas: np.ndarray, task: str
) -> Evaluation:
    """The API's arrays, from one block of classes after the other: they do not touch each other.

    Classes without ground truth have -1 everywhere.

    Args:
        truth: the ground truth.
        detections: those that are evaluated, see `FederatedTruth.evaluated`.
        areas: their areas in pixels [N].
        task: ``"bbox"`` or ``"segm"``.

    Raises:
        HotcocoRefusalError: if hotcoco does not take the ground truth.
    """
    shape = len(IOU_THRESHOLDS), len(RECALL_THRESHOLDS), len(truth.category_ids), _NUM_AREAS
    precision = np.full(shape, -1.0)
    recall = np.full((shape[0], *shape[2:]), -1.0)
    class_index = np.searchsorted(truth.category_ids, detections.category_ids)
    present = np.unique(truth.pairs // len(truth.image_ids))
    counts = np.bincount(class_index, minlength=len(truth.category_ids))[present]
    block_of_class = np.cumsum(counts) // DETECTIONS_AT_ONCE
    for number in np.unique(block_of_class):
        classes = present[block_of_class == number]
        kept = np.flatnonzero(np.isin(class_index, classes))
        results = _results(detections.take(kept), areas[kept], task)
        masks = _masks(truth, detections.take(kept)) if task == "segm" else None
        block = _evaluate_block(_ground_truth(truth, classes, task), results, masks, task)
        precision[:, :, classes], recall[:, classes] = block
    return Evaluation(precision, recall, IOU_THRESHOLDS)


def _evaluate_block(
    truth: Any, rows: np.ndarray, masks: list[dict] | None, task: str
) -> tuple[np.ndarray, np.ndarray]:
    """Precision [T, R, K, A] and recall [T, K, A] of K classes."""
    import hotcoco  # optional: the extra `fast`

    results = truth.load_res(rows, segmentation=masks)
    # None limits nothing, and marks them as limited: otherwise the evaluation would do so.
    run = hotcoco.LVISEval(truth, results.cap_detections_per_image(None), task)
    # The limit is behind us; its own is of 300 for each image and class.
    run.params.max_dets = [max(len(rows), 1)]
    run.evaluate()
    run.accumulate()
    accumulated = run.eval
    # The last axis is the limit.
    return accumulated["precision"][..., 0], accumulated["recall"][..., 0]


def _ground_truth(truth: FederatedTruth, classes: np.ndarray, task: str) -> Any:
    """What the API evaluates of some classes, and no more, for hotcoco checks all it is given."""
    import hotcoco  # optional: the extra `fast`

    category_ids = set(truth.category_ids[classes].tolist())
    images = [
        # A file of boxes may leave out the sizes.
        {"id": image["id"], "height": image.get("height", 1), "width": image.get("width", 1)}
        | {key: [c for c in image[key] if c in category_ids] for key in _LISTS}
        for image in truth.dataset["images"]
    ]
    categories = [
        {"id": c["id"], "name": str(c["id"]), "frequency": c["frequency"]}
        for c in truth.dataset["categories"]
        if c["id"] in category_ids
    ]
    chosen = np.flatnonzero(np.isin(truth.classes, classes))
    is_segm = task == "segm"
    try:
        return hotcoco.COCO.from_arrays(
            images,
            categories,
            truth.image_ids[truth.images[chosen]],
            truth.category_ids[truth.classes[chosen]],
            np.zeros((len(chosen), 4)) if is_segm else truth.shapes(task, chosen),
            area=np.where(truth.ignored, _IGNORED_AREA, truth.areas)[chosen],
            segmentation=truth.shapes(task, chosen) if is_segm else None,
        )
    except ValueError as error:
        raise HotcocoRefusalError(f"hotcoco refuses the ground truth ({error})") from error


def _results(detections: DetectionColumns, areas: np.ndarray, task: str) -> np.ndarray:
    """Image id, box, score, category id [N, 7]; for masks a box of their area, which decides."""
    rows = np.empty((len(detections), 7))
    rows[:, 0] = np.asarray(detections.image_ids, dtype=np.int64)[detections.image_index]
    rows[:, 1:5] = detections.boxes if task == "bbox" else [0, 0, 0, 1]
    if task == "segm":
        rows[:, 3] = areas
    rows[:, 5] = detections.scores
    rows[:, 6] = detections.category_ids
    return rows


def _masks(truth: FederatedTruth, detections: DetectionColumns) -> list[dict[str, Any]]:
    """Masks [N]; where a picture has none of the class, there is no IoU and any mask will do."""
    beside_truth = np.isin(truth.pairs_of_columns(detections), truth.pairs)
    masks = [_ANY_MASK] * len(detections)
    found = np.flatnonzero(beside_truth)
    for position, mask in zip(found, detections.take(found).shapes("segm"), strict=True):
        masks[position] = mask
    return masks
