"""Detections of a data set in columns: what evaluation works on, without a dict per detection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import pycocotools.mask as mask_utils

from lt_det.evaluation.matching.detections import COLUMNS, ImageDetections
from lt_det.evaluation.matching.ids import id_array

__all__ = ["DetectionColumns"]

# pycocotools 2.0.11 overflows on longer lists.
_MASKS_AT_ONCE = 255


@dataclass(frozen=True)
class DetectionColumns:
    """N detections on I images, in the order of the images and within them in the model's.

    Attributes:
        image_ids: id of each image [I], those without a detection too.
        image_sizes: height, width of each image [I, 2].
        image_index: position of each detection's image in `image_ids`, ascending [N].
        category_ids: id of each detection's category [N].
        scores: scores [N], float64.
        boxes: x, y, width, height in pixels [N, 4], or None.
        rles: compressed run-length codes of the masks [N], or None.
    """

    image_ids: Sequence[int]
    image_sizes: np.ndarray
    image_index: np.ndarray
    category_ids: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray | None
    rles: Sequence[bytes] | None

    @classmethod
    def of(
        cls, detections: Sequence[ImageDetections], category_of: Mapping[int, int]
    ) -> DetectionColumns:
        """Join the detections of images.

        Args:
            detections: of each image, once. A column that a picture with detections lacks is None.
            category_of: contiguous class -> category id.
        """
        counts = [len(d.scores) for d in detections]
        found = [d for d in detections if len(d.scores)] or list(detections)
        known = id_array(list(category_of.values()))
        ids = np.zeros(max(category_of, default=-1) + 1, dtype=known.dtype)
        ids[list(category_of)] = known
        has_boxes = all(d.boxes is not None for d in found)
        has_rles = all(d.rles is not None for d in found)
        return cls(
            [d.image_id for d in detections],
            np.array([d.image_size for d in detections], dtype=np.int64).reshape(-1, 2),
            np.repeat(np.arange(len(detections), dtype=np.int32), counts),
            ids[np.concatenate([[], *(d.classes for d in found)]).astype(np.int64)],
            np.concatenate([np.zeros(0), *(d.scores for d in found)]),
            np.concatenate([np.zeros((0, 4), np.float32), *(d.boxes for d in found)])
            if has_boxes
            else None,
            list(chain.from_iterable(d.rles for d in found)) if has_rles else None,
        )

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, positions: np.ndarray) -> DetectionColumns:
        """The detections at rising `positions` [M]; all images stay."""
        return self if len(positions) == len(self) else self.reordered(positions)

    def reordered(self, positions: np.ndarray) -> DetectionColumns:
        """The detections at `positions` [M], in their order."""
        rles = self.rles
        return replace(
            self,
            image_index=self.image_index[positions],
            category_ids=self.category_ids[positions],
            scores=self.scores[positions],
            boxes=None if self.boxes is None else self.boxes[positions],
            rles=None if rles is None else [rles[i] for i in positions.tolist()],
        )

    def areas(self, task: str) -> np.ndarray:
        """Area of each box, or for ``"segm"`` of each mask, in pixels [N], float64."""
        if task == "bbox":
            boxes = self.boxes.astype(np.float64)
            return boxes[:, 2] * boxes[:, 3]
        chunks = [
            mask_utils.area(self.shapes(task, slice(start, start + _MASKS_AT_ONCE)))
            for start in range(0, len(self), _MASKS_AT_ONCE)
        ]
        return np.concatenate([[], *chunks])

    def shapes(self, task: str, rows: slice = slice(None)) -> np.ndarray | list[dict[str, Any]]:
        """What pycocotools takes for a task: boxes [n, 4] float64, or run-length codes [n].

        Args:
            task: ``"bbox"`` or ``"segm"``.
            rows: the detections, all by default.
        """
        if task == "bbox":
            return self.boxes[rows].astype(np.float64)
        sizes = self.image_sizes[self.image_index[rows]].tolist()
        return [
            {"size": size, "counts": counts}
            for size, counts in zip(sizes, self.rles[rows], strict=True)
        ]

    def best_per_image(self, limit: int) -> DetectionColumns:
        """The best `limit` detections of each image over all classes.

        As `lvis.LVISResults.limit_dets_per_image`: of equal scores the first are kept. A negative
        limit keeps all.
        """
        counts = np.bincount(self.image_index, minlength=len(self.image_ids))
        if limit < 0 or counts.max(initial=0) <= limit:
            return self
        order = np.lexsort((-self.scores, self.image_index))
        starts = np.cumsum(counts) - counts
        rank = np.arange(len(self)) - starts[self.image_index]
        return self.take(np.sort(order[rank < limit]))

    def of_task(self, task: str) -> DetectionColumns:
        """Without the shapes that a task does not evaluate."""
        return replace(self, **{COLUMNS[other]: None for other in COLUMNS if other != task})

    def records(self, task: str) -> Iterator[dict[str, Any]]:
        """A result dict of each detection in the format of LVIS and COCO.

        Args:
            task: ``"bbox"`` gives boxes, ``"segm"`` masks: beside a box, the APIs would take the
                box's area as the mask's.
        """
        image_ids = [self.image_ids[i] for i in self.image_index.tolist()]
        key, shapes = "segmentation", self.shapes(task)
        if task == "bbox":
            key, shapes = "bbox", shapes.tolist()
        columns = image_ids, self.category_ids.tolist(), self.scores.tolist(), shapes
        for image_id, category_id, score, shape in zip(*columns, strict=True):
            yield {"image_id": image_id, "category_id": category_id, "score": score, key: shape}
