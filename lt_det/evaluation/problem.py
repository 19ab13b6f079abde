"""What an official API matches, in columns: the detections and objects that its rules let through.

For the metrics that no API offers. Both official APIs match by the same algorithm; their rules
differ in which detections and objects enter it and which of them count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pycocotools.mask as mask_utils

from lt_det.evaluation.columns import DetectionColumns

__all__ = ["AREA_RANGES", "Objects", "Problem", "coco_problem", "lvis_problem"]

AREA_RANGES = np.array([[0, 1e10], [0, 32**2], [32**2, 96**2], [96**2, 1e10]])
"""Areas in pixels of all, small, medium and large objects, both ends included."""


@dataclass(frozen=True)
class Objects:
    """Objects of one side, detections or ground truth; G of them.

    Attributes:
        image_index: position of each object's image in `Problem.image_ids` [G].
        class_index: position of each object's category in `Problem.category_ids` [G].
        area: areas in pixels [G].
        ignored: whether an object counts neither way; of detections, unless it matches [G].
        crowd: whether an object takes any number of detections, by their share inside it [G].
        score: scores of detections, zeros for ground truth [G].
        source: position in the `DetectionColumns` or the annotations that they come from [G].
    """

    image_index: np.ndarray
    class_index: np.ndarray
    area: np.ndarray
    ignored: np.ndarray
    crowd: np.ndarray
    score: np.ndarray
    source: np.ndarray

    def __len__(self) -> int:
        return len(self.area)

    def take(self, positions: np.ndarray) -> Objects:
        """The objects at `positions`, a mask too."""
        return Objects(*(getattr(self, name)[positions] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Problem:
    """Detections and ground truth, both by class, then image; detections then by falling score.

    Attributes:
        task: ``"bbox"`` or ``"segm"``: what overlaps.
        image_ids: id of each image [I], ascending.
        category_ids: id of each class [K], ascending.
        found: the detections [N].
        truth: the ground truth [G].
        columns: where the detections' shapes are.
        shape_of: the shape of an annotation as pycocotools takes it.
        annotations: the annotations that `truth.source` points into.
    """

    task: str
    image_ids: np.ndarray
    category_ids: np.ndarray
    found: Objects
    truth: Objects
    columns: DetectionColumns
    shape_of: Callable[[dict[str, Any]], Any]
    annotations: Sequence[dict[str, Any]]

    def cells(self) -> Iterator[tuple[slice, slice]]:
        """Detections and objects of each (class, image) that has both, in their order."""
        num_images = len(self.image_ids)
        keys = [o.class_index * num_images + o.image_index for o in (self.found, self.truth)]
        shared = np.intersect1d(*keys)
        bounds = [np.searchsorted(key, [shared, shared + 1]).T.tolist() for key in keys]
        for (a, b), (c, d) in zip(*bounds, strict=True):
            yield slice(a, b), slice(c, d)

    def images(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Detections and objects of each image with a detection.

        Their positions in `found`, by falling score, and in `truth`, in the annotations' order.
        """
        found, truth = self.found, self.truth
        orders = (
            np.lexsort((found.source, -found.score, found.image_index)),
            np.lexsort((truth.source, truth.image_index)),
        )
        present = np.unique(found.image_index)
        bounds = (
            np.searchsorted(o.image_index[order], [present, present + 1]).T.tolist()
            for o, order in zip((found, truth), orders, strict=True)
        )
        for (a, b), (c, d) in zip(*bounds, strict=True):
            yield orders[0][a:b], orders[1][c:d]

    def found_shapes(self, positions: np.ndarray) -> Any:
        """Boxes [n, 4] or run-length codes of detections, as pycocotools takes them."""
        source = self.found.source[positions]
        if self.task == "bbox":
            return self.columns.boxes[source].astype(np.float64)
        sizes = self.columns.image_sizes[self.columns.image_index[source]].tolist()
        codes = (self.columns.rles[i] for i in source.tolist())
        return [{"size": size, "counts": c} for size, c in zip(sizes, codes, strict=True)]

    def truth_shapes(self, positions: np.ndarray) -> Any:
        """Boxes [m, 4] or run-length codes of objects, as pycocotools takes them."""
        source = self.truth.source[positions].tolist()
        shapes = [self.shape_of(self.annotations[i]) for i in source]
        return np.array(shapes, np.float64).reshape(-1, 4) if self.task == "bbox" else shapes

    def overlaps(self, found: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """IoU of detections and objects of one image [n, m]; see `Objects.crowd` for crowds."""
        if len(found) == 0 or len(truth) == 0:
            return np.zeros((len(found), len(truth)))
        crowd = self.truth.crowd[truth].astype(np.uint8)
        return mask_utils.iou(self.found_shapes(found), self.truth_shapes(truth), crowd)


def lvis_problem(
    ground_truth: Any, columns: DetectionColumns, task: str, max_dets_per_image: int
) -> Problem:
    """The rules of `lvis.LVISEval` (lvis 0.5.3).

    The best `max_dets_per_image` detections of an image over all classes enter, of the classes
    that the picture verifiably has or lacks; a detection that matches nothing does not count where
    the class is not annotated exhaustively. Objects and detections without area do not enter.

    Args:
        ground_truth: `lvis.LVIS`.
        columns: detections; `columns` of its images in any order.
        task: ``"bbox"`` or ``"segm"``.
        max_dets_per_image: negative is no limit.
    """
    dataset = ground_truth.dataset
    index = _Index(ground_truth)
    truth = index.truth(dataset["annotations"], lambda a: bool(a.get("ignore", 0)))
    truth = truth.take((truth.area > 0) & (truth.area < np.inf))
    found = index.found(columns, columns.best_per_image(max_dets_per_image), task)
    found = found.take((found.area > 0) & (found.area < np.inf))
    pairs = index.pairs(found.class_index, found.image_index)
    negative, not_exhaustive = (
        index.listed_pairs(dataset["images"], f"{name}_category_ids")
        for name in ("neg", "not_exhaustive")
    )
    positive = index.pairs(truth.class_index, truth.image_index)
    found.ignored[:] = np.isin(pairs, not_exhaustive)
    found = found.take(np.isin(pairs, negative) | np.isin(pairs, positive))
    return index.problem(task, found, truth, columns, ground_truth.ann_to_rle)


def coco_problem(ground_truth: Any, columns: DetectionColumns, task: str, max_dets: int) -> Problem:
    """The rules of `pycocotools.cocoeval.COCOeval`.

    The best `max_dets` detections of each image and class enter, and all objects; crowd regions
    are ignored.

    Args:
        ground_truth: `pycocotools.coco.COCO`.
        columns: detections; `columns` of its images in any order.
        task: ``"bbox"`` or ``"segm"``.
        max_dets: negative is no limit.
    """
    index = _Index(ground_truth)
    truth = index.truth(ground_truth.dataset["annotations"], lambda a: bool(a.get("iscrowd", 0)))
    truth.crowd[:] = truth.ignored
    found = index.found(columns, np.arange(len(columns)), task)
    if max_dets >= 0:
        pairs = index.pairs(found.class_index, found.image_index)
        found = found.take(np.arange(len(pairs)) - np.searchsorted(pairs, pairs) < max_dets)
    return index.problem(task, found, truth, columns, ground_truth.annToRLE)


class _Index:
    """Positions of an API's images and categories, each in the order of their ids."""

    def __init__(self, ground_truth: Any):
        self.annotations = ground_truth.dataset["annotations"]
        self.image_ids = np.array(sorted(ground_truth.imgs), dtype=np.int64)
        self.category_ids = np.array(sorted(ground_truth.cats), dtype=np.int64)

    def pairs(self, class_index: np.ndarray, image_index: np.ndarray) -> np.ndarray:
        """One number for each (class, image)."""
        return class_index.astype(np.int64) * len(self.image_ids) + image_index

    def listed_pairs(self, images: Iterable[dict], key: str) -> np.ndarray:
        """`pairs` of the categories that images list under `key`."""
        listed = [(image["id"], c) for image in images for c in image[key]]
        ids = np.array(listed, dtype=np.int64).reshape(-1, 2)
        ids = ids[np.isin(ids[:, 1], self.category_ids)]
        return self.pairs(
            np.searchsorted(self.category_ids, ids[:, 1]),
            np.searchsorted(self.image_ids, ids[:, 0]),
        )

    def truth(self, annotations: Sequence[dict], ignored: Callable[[dict], bool]) -> Objects:
        """All annotations, by class, then image, then their own order."""
        columns = [
            np.array([a[key] for a in annotations], dtype)
            for key, dtype in (("image_id", int), ("category_id", int), ("area", float))
        ]
        flags = np.array([ignored(a) for a in annotations], dtype=bool)
        return self._sorted(*columns, flags, np.zeros(len(annotations)))

    def found(self, columns: DetectionColumns, positions: np.ndarray, task: str) -> Objects:
        """Detections, by class, then image, then falling score."""
        kept = columns.take(positions)
        image_ids = np.asarray(kept.image_ids, dtype=np.int64)[kept.image_index]
        flags = np.zeros(len(kept), dtype=bool)
        found = self._sorted(image_ids, kept.category_ids, kept.areas(task), flags, kept.scores)
        return Objects(**vars(found) | {"source": positions[found.source]})

    def _sorted(self, image_ids, category_ids, area, ignored, score) -> Objects:
        image_index = np.searchsorted(self.image_ids, image_ids)
        class_index = np.searchsorted(self.category_ids, category_ids)
        order = np.lexsort((-score, image_index, class_index))
        everything = Objects(
            image_index, class_index, area, ignored, np.zeros_like(ignored), score, order
        )
        return Objects(**vars(everything.take(order)) | {"source": order})

    def problem(
        self, task: str, found: Objects, truth: Objects, columns: DetectionColumns, to_rle: Callable
    ) -> Problem:
        shape_of = (lambda annotation: annotation["bbox"]) if task == "bbox" else to_rle
        axes = task, self.image_ids, self.category_ids
        return Problem(*axes, found, truth, columns, shape_of, self.annotations)
