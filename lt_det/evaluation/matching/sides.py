"""What the official APIs match over all areas, without their visit to every (image, class) pair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from lt_det.evaluation.matching.detection_columns import DetectionColumns
from lt_det.evaluation.matching.matches import Matches
from lt_det.evaluation.matching.overlaps import Overlaps, find_overlaps, match
from lt_det.evaluation.matching.truth import MAX_AREA, Truth

__all__ = ["Sides", "find_matches"]


@dataclass(frozen=True)
class Sides:
    """Detections and ground truths by pair; detections then by falling score.

    Attributes:
        truth: the ground truth.
        task: ``"bbox"`` or ``"segm"``.
        columns: N detections that are evaluated.
        pairs: pair of each detection [N].
        counts: whether a detection that matches nothing is a false positive [N].
        truth_positions: position of each ground truth in `truth` [G].
        truth_pairs: pair of each ground truth [G].
        ignored: whether a ground truth is ignored, and what matches it [G].
        crowd: whether a ground truth takes any number of detections [G].
    """

    truth: Truth
    task: str
    columns: DetectionColumns
    pairs: np.ndarray
    counts: np.ndarray
    truth_positions: np.ndarray
    truth_pairs: np.ndarray
    ignored: np.ndarray
    crowd: np.ndarray

    @classmethod
    def of(cls, truth: Truth, columns: DetectionColumns, areas: np.ndarray, task: str) -> Sides:
        """Sort both sides.

        Args:
            truth: the ground truth.
            columns: the detections that are evaluated, see `Truth.evaluated`.
            areas: their areas in pixels [N].
            task: ``"bbox"`` or ``"segm"``.
        """
        pairs = truth.pairs_of_columns(columns)
        order = np.lexsort((-columns.scores, pairs))
        positions = np.argsort(truth.pairs, kind="stable")
        counts = (areas <= MAX_AREA) & truth.is_exhaustive(pairs)
        return cls(
            truth,
            task,
            columns.reordered(order),
            pairs[order],
            counts[order],
            positions,
            truth.pairs[positions],
            truth.ignored[positions],
            truth.crowd[positions],
        )

    def match(self, overlaps: Overlaps, iou_thresholds: np.ndarray) -> np.ndarray:
        """Ground truth that each detection takes at each threshold, or -1 [T, N]."""
        return match(overlaps, self.pairs, self.ignored, self.crowd, iou_thresholds)


def find_matches(
    sides: Sides,
    iou_thresholds: np.ndarray,
    change_overlaps: Callable[[Overlaps, Sides], Overlaps] | None = None,
) -> Matches:
    """Match detections to ground truth over all areas, bit for bit as the APIs.

    Args:
        sides: both sides.
        iou_thresholds: [T].
        change_overlaps: other overlaps than by the boxes or masks, from those.
    """
    truth, pairs, num_images = sides.truth, sides.pairs, len(sides.truth.image_ids)
    overlaps = find_overlaps(
        pairs,
        sides.truth_pairs,
        partial(sides.columns.shapes, sides.task),
        truth.shapes(sides.task, sides.truth_positions),
        sides.crowd,
        min(iou_thresholds.min(), 1 - 1e-10),
    )
    if change_overlaps is not None:
        overlaps = change_overlaps(overlaps, sides)
    taken = sides.match(overlaps, iou_thresholds)
    gt_pairs, gt_counts = np.unique(sides.truth_pairs[~sides.ignored], return_counts=True)
    ignored = np.append(sides.ignored, False)[taken]
    return Matches(
        image_ids=truth.image_ids,
        category_ids=truth.category_ids,
        image_index=(pairs % num_images).astype(np.int32),
        class_index=(pairs // num_images).astype(np.int32),
        score=sides.columns.scores,
        matched=taken >= 0,
        ignored=np.where(taken >= 0, ignored, ~sides.counts),
        gt_image_index=(gt_pairs % num_images).astype(np.int32),
        gt_class_index=(gt_pairs // num_images).astype(np.int32),
        gt_count=gt_counts.astype(np.int32),
    )
