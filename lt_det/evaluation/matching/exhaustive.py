"""COCO's rules in columns: every class is annotated in every picture, but for crowd regions."""

from __future__ import annotations

import numpy as np
from pycocotools.coco import COCO

from lt_det.evaluation.matching.detection_columns import DetectionColumns
from lt_det.evaluation.matching.fixed_ap import best_per_class
from lt_det.evaluation.matching.truth import Truth

__all__ = ["ExhaustiveTruth"]


class ExhaustiveTruth(Truth):
    """The ground truths of a COCO-format set.

    Args:
        ground_truth: the data set; not changed.
    """

    def __init__(self, ground_truth: COCO):
        annotations = ground_truth.dataset["annotations"]
        super().__init__(ground_truth, annotations, "iscrowd", ground_truth.annToRLE)
        self.crowd = np.array([bool(a.get("iscrowd")) for a in annotations], dtype=bool)

    def is_exhaustive(self, pairs: np.ndarray) -> np.ndarray:
        """See `Truth`: always."""
        return np.ones(len(pairs), dtype=bool)

    def evaluated(
        self, columns: DetectionColumns, task: str, max_dets: int
    ) -> tuple[DetectionColumns, np.ndarray]:
        """See `Truth`; `max_dets` are the best of each image and class."""
        columns = columns.of_task(task)
        if max_dets >= 0:
            pairs = self.pairs_of_columns(columns)
            columns = columns.take(best_per_class(pairs, columns.scores, max_dets))
        return columns, columns.areas(task)
