"""LVIS's federated rules in columns: what of the data the API evaluates at all.

A picture's verified classes are those of its ground truth and of its negative list. The API drops
detections of other classes, and it drops ground truth and detections without area: that rule comes
after the limit per image, and before a class counts as present.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from lvis import LVIS

from lt_det.evaluation.columns import DetectionColumns

__all__ = ["MAX_AREA", "FederatedTruth"]

MAX_AREA = 1e10
"""The API's largest object, in pixels."""


class FederatedTruth:
    """G ground truths with area, in the order of the annotation file.

    Images and classes are positions in their ids' rising order. A pair of them is the number
    ``class * I + image``.

    Args:
        ground_truth: the data set; not changed.

    Attributes:
        dataset: the annotation file's content.
        image_ids: rising [I].
        category_ids: rising [K].
        annotations: the ground truths [G].
        pairs: pair of each ground truth [G].
        ignored: whether it counts neither way over all areas [G].
    """

    def __init__(self, ground_truth: LVIS):
        self._ground_truth = ground_truth
        self.dataset = ground_truth.dataset
        self.image_ids = np.array(sorted(ground_truth.imgs), dtype=np.int64)
        self.category_ids = np.array(sorted(ground_truth.cats), dtype=np.int64)
        self.annotations = [
            a for a in ground_truth.dataset["annotations"] if 0 < a["area"] < math.inf
        ]
        self.pairs = self.pairs_of(
            [a["image_id"] for a in self.annotations], [a["category_id"] for a in self.annotations]
        )
        areas = np.array([a["area"] for a in self.annotations], dtype=np.float64)
        flags = np.array([bool(a.get("ignore")) for a in self.annotations], dtype=bool)
        self.ignored = flags | (areas > MAX_AREA)
        self._verified = np.union1d(self.pairs, self._listed("neg_category_ids"))
        self._not_exhaustive = np.unique(self._listed("not_exhaustive_category_ids"))

    def pairs_of(self, image_ids: Sequence[int], category_ids: Sequence[int]) -> np.ndarray:
        """Pairs of known images and categories [N], int64."""
        images = np.searchsorted(self.image_ids, np.asarray(image_ids, dtype=np.int64))
        classes = np.searchsorted(self.category_ids, np.asarray(category_ids, dtype=np.int64))
        return classes.astype(np.int64) * len(self.image_ids) + images

    def pairs_of_columns(self, columns: DetectionColumns) -> np.ndarray:
        """Pairs of detections [N], int64."""
        images = np.searchsorted(self.image_ids, np.asarray(columns.image_ids, dtype=np.int64))
        classes = np.searchsorted(self.category_ids, columns.category_ids)
        return classes * np.int64(len(self.image_ids)) + images[columns.image_index]

    def is_verified(self, pairs: np.ndarray) -> np.ndarray:
        """Whether the class of a pair is known to be in the picture, or not to be [N]."""
        return np.isin(pairs, self._verified)

    def is_exhaustive(self, pairs: np.ndarray) -> np.ndarray:
        """Whether every object of the class is annotated in the picture [N]."""
        return ~np.isin(pairs, self._not_exhaustive)

    def shapes(self, task: str, order: np.ndarray) -> np.ndarray | list[dict[str, Any]]:
        """Boxes [G, 4] or masks [G] of the ground truths, as the API hands them to pycocotools.

        Args:
            task: ``"bbox"`` or ``"segm"``.
            order: positions of the ground truths to give.
        """
        if task == "bbox":
            boxes = np.array([a["bbox"] for a in self.annotations], dtype=np.float64)
            return boxes.reshape(-1, 4)[order]
        rles = self.rles
        return [rles[i] for i in order.tolist()]

    @cached_property
    def rles(self) -> list[dict[str, Any]]:
        """Masks of the ground truths as the API rasterises them [G]."""
        return [self._ground_truth.ann_to_rle(a) for a in self.annotations]

    def evaluated(
        self, columns: DetectionColumns, task: str, max_dets_per_image: int
    ) -> tuple[DetectionColumns, np.ndarray]:
        """The detections that the API evaluates, and their areas in pixels [N].

        Args:
            columns: detections.
            task: ``"bbox"`` or ``"segm"``, whose areas decide.
            max_dets_per_image: best detections of each image over all classes; negative for all.
        """
        columns = columns.of_task(task)
        columns = columns.best_per_image(max_dets_per_image)
        columns = columns.take(np.flatnonzero(self.is_verified(self.pairs_of_columns(columns))))
        areas = columns.areas(task)
        kept = np.flatnonzero(areas > 0)
        return columns.take(kept), areas[kept]

    def _listed(self, key: str) -> np.ndarray:
        """Pairs of a list that every image has; the file may list classes it does not have."""
        images = self._ground_truth.dataset["images"]
        known = self._ground_truth.cats
        found = [(image["id"], c) for image in images for c in image[key] if c in known]
        return self.pairs_of([i for i, _ in found], [c for _, c in found])
