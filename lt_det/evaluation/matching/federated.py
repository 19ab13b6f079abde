"""LVIS's federated rules in columns: what of the data the API evaluates at all.

A picture's verified classes are those of its ground truth and of its negative list. The API drops
detections of other classes, and it drops ground truth and detections without area: that rule comes
after the limit per image, and before a class counts as present.
"""

from __future__ import annotations

import math

import numpy as np
from lvis import LVIS

from lt_det.evaluation.matching.detection_columns import DetectionColumns
from lt_det.evaluation.matching.truth import Truth

__all__ = ["FederatedTruth"]


class FederatedTruth(Truth):
    """The ground truths with area of an LVIS-format set.

    Args:
        ground_truth: the data set; not changed.
    """

    def __init__(self, ground_truth: LVIS):
        annotations = [a for a in ground_truth.dataset["annotations"] if 0 < a["area"] < math.inf]
        super().__init__(ground_truth, annotations, "ignore", ground_truth.ann_to_rle)
        self._verified = np.union1d(self.pairs, self._listed("neg_category_ids"))
        self._not_exhaustive = np.unique(self._listed("not_exhaustive_category_ids"))

    def is_verified(self, pairs: np.ndarray) -> np.ndarray:
        """Whether the class of a pair is known to be in the picture, or not to be [N]."""
        return np.isin(pairs, self._verified)

    def is_exhaustive(self, pairs: np.ndarray) -> np.ndarray:
        """See `Truth`."""
        return ~np.isin(pairs, self._not_exhaustive)

    def evaluated(
        self, columns: DetectionColumns, task: str, max_dets: int
    ) -> tuple[DetectionColumns, np.ndarray]:
        """See `Truth`; `max_dets` are the best of each image over all classes."""
        columns = columns.of_task(task)
        columns = columns.best_per_image(max_dets)
        columns = columns.take(np.flatnonzero(self.is_verified(self.pairs_of_columns(columns))))
        areas = columns.areas(task)
        kept = np.flatnonzero(areas > 0)
        return columns.take(kept), areas[kept]

    def _listed(self, key: str) -> np.ndarray:
        """Pairs of a list that every image has; the file may list classes it does not have."""
        known = set(self.category_ids.tolist())
        images = self.dataset["images"]
        found = [(image["id"], c) for image in images for c in image[key] if c in known]
        return self.pairs_of([i for i, _ in found], [c for _, c in found])
