"""What the LVIS API matches over all areas, without its visit to every (image, class) pair."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from lt_det.evaluation.columns import DetectionColumns
from lt_det.evaluation.federated import MAX_AREA, FederatedTruth
from lt_det.evaluation.matches import Matches
from lt_det.evaluation.overlaps import Overlaps, find_overlaps, match

__all__ = ["federated_matches"]


def federated_matches(
    truth: FederatedTruth,
    columns: DetectionColumns,
    areas: np.ndarray,
    task: str,
    iou_thresholds: np.ndarray,
    change_overlaps: Callable[[Overlaps, DetectionColumns, np.ndarray], Overlaps] | None = None,
) -> Matches:
    """Match detections to ground truth over all areas, bit for bit as the LVIS API.

    Args:
        truth: the ground truth.
        columns: the detections that are evaluated, see `FederatedTruth.evaluated`.
        areas: their areas in pixels [N].
        task: ``"bbox"`` or ``"segm"``.
        iou_thresholds: [T].
        change_overlaps: other overlaps than by the boxes or masks, from those, the detections they
            refer to and the position in `truth` of the ground truths they refer to.
    """
    pairs = truth.pairs_of_columns(columns)
    order = np.lexsort((-columns.scores, pairs))
    pairs, areas, columns = pairs[order], areas[order], columns.reordered(order)
    truth_order = np.argsort(truth.pairs, kind="stable")
    truth_pairs, ignored = truth.pairs[truth_order], truth.ignored[truth_order]
    overlaps = find_overlaps(
        pairs,
        truth_pairs,
        partial(columns.shapes, task),
        truth.shapes(task, truth_order),
        min(iou_thresholds.min(), 1 - 1e-10),
    )
    if change_overlaps is not None:
        overlaps = change_overlaps(overlaps, columns, truth_order)
    taken = match(overlaps, pairs, ignored, iou_thresholds)
    uncounted = (areas > MAX_AREA) | ~truth.is_exhaustive(pairs)
    counted_pairs, counts = np.unique(truth_pairs[~ignored], return_counts=True)
    num_images = len(truth.image_ids)
    return Matches(
        image_ids=truth.image_ids,
        category_ids=truth.category_ids,
        image_index=(pairs % num_images).astype(np.int32),
        class_index=(pairs // num_images).astype(np.int32),
        score=columns.scores,
        matched=taken >= 0,
        ignored=np.where(taken >= 0, np.append(ignored, False)[taken], uncounted),
        gt_image_index=(counted_pairs % num_images).astype(np.int32),
        gt_class_index=(counted_pairs // num_images).astype(np.int32),
        gt_count=counts.astype(np.int32),
    )
