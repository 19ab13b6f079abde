"""Ground truth in columns, and what of it and of detections an official API evaluates."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from lt_det.evaluation.matching.detection_columns import DetectionColumns
from lt_det.evaluation.matching.ids import id_array

__all__ = ["MAX_AREA", "Truth"]

MAX_AREA = 1e10
"""The APIs' largest object, in pixels."""


class Truth(abc.ABC):
    """G ground truths, in the order of the annotation file.

    Images and classes are positions in their ids' rising order. A pair of them is the number
    ``class * I + image``.

    Args:
        ground_truth: the API's data set; not changed.
        annotations: those that the API evaluates.
        ignored_by: key of an annotation that says whether it is ignored.
        to_rle: mask of an annotation as the API rasterises it.

    Attributes:
        dataset: the annotation file's content.
        image_ids: rising [I].
        category_ids: rising [K].
        annotations: the ground truths [G].
        pairs: pair of each ground truth [G].
        areas: area of each ground truth in pixels [G].
        ignored: whether it counts neither way over all areas [G].
        crowd: whether it takes any number of detections, by their share inside of it [G].
    """

    def __init__(
        self,
        ground_truth: Any,
        annotations: Sequence[dict[str, Any]],
        ignored_by: str,
        to_rle: Callable[[dict[str, Any]], dict[str, Any]],
    ):
        self._to_rle = to_rle
        self.dataset = ground_truth.dataset
        self.image_ids = id_array(sorted(ground_truth.imgs))
        self.category_ids = id_array(sorted(ground_truth.cats))
        self.annotations = annotations
        self.pairs = self.pairs_of(
            [a["image_id"] for a in annotations], [a["category_id"] for a in annotations]
        )
        self.areas = np.array([a["area"] for a in annotations], dtype=np.float64)
        flags = np.array([bool(a.get(ignored_by)) for a in annotations], dtype=bool)
        self.ignored = flags | (self.areas > MAX_AREA)
        self.crowd = np.zeros_like(flags)

    @abc.abstractmethod
    def evaluated(
        self, columns: DetectionColumns, task: str, max_dets: int
    ) -> tuple[DetectionColumns, np.ndarray]:
        """The detections that the API evaluates, and their areas in pixels [N].

        Args:
            columns: detections.
            task: ``"bbox"`` or ``"segm"``, whose areas decide.
            max_dets: the API's limit; negative for none.
        """

    @abc.abstractmethod
    def is_exhaustive(self, pairs: np.ndarray) -> np.ndarray:
        """Whether every object of the class is annotated in the picture [N]."""

    @property
    def classes(self) -> np.ndarray:
        """Class of each ground truth [G]."""
        return self.pairs // len(self.image_ids)

    @property
    def images(self) -> np.ndarray:
        """Image of each ground truth [G]."""
        return self.pairs % len(self.image_ids)

    def pairs_of(self, image_ids: Sequence[int], category_ids: Sequence[int]) -> np.ndarray:
        """Pairs of known images and categories [N], int64."""
        images = np.searchsorted(self.image_ids, id_array(image_ids))
        classes = np.searchsorted(self.category_ids, id_array(category_ids))
        return classes.astype(np.int64) * len(self.image_ids) + images

    def pairs_of_columns(self, columns: DetectionColumns) -> np.ndarray:
        """Pairs of detections [N], int64."""
        images = np.searchsorted(self.image_ids, id_array(columns.image_ids))
        classes = np.searchsorted(self.category_ids, columns.category_ids)
        return classes * np.int64(len(self.image_ids)) + images[columns.image_index]

    def shapes(self, task: str, order: np.ndarray) -> np.ndarray | list[dict[str, Any]]:
        """Boxes [G, 4] or masks [G] of the ground truths, as the API hands them to pycocotools.

        Args:
            task: ``"bbox"`` or ``"segm"``.
            order: positions of the ground truths to give.
        """
        if task == "bbox":
            return self.boxes[order]
        rles = self.rles
        return [rles[i] for i in order.tolist()]

    @cached_property
    def boxes(self) -> np.ndarray:
        """Boxes of the ground truths [G, 4]."""
        boxes = [a["bbox"] for a in self.annotations]
        return np.array(boxes, dtype=np.float64).reshape(-1, 4)

    @cached_property
    def rles(self) -> list[dict[str, Any]]:
        """Masks of the ground truths as the API rasterises them [G]."""
        return [self._to_rle(a) for a in self.annotations]
