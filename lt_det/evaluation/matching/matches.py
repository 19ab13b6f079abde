"""What AP needs to know of an evaluation: which detections matched, in columns."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from lt_det.evaluation.matching.ids import id_array


@dataclass(frozen=True)
class Matches:
    """Outcome of matching detections to ground truth, over all areas.

    N detections on verified (image, class) pairs in the API's order: by class, then image, then
    falling score. P (image, class) pairs with ground truth, by class, then image.

    Attributes:
        image_ids: id of each image [I], ascending.
        category_ids: id of each class [K], ascending.
        image_index: position of each detection's image in `image_ids` [N].
        class_index: position of each detection's class in `category_ids` [N].
        score: score of each detection [N].
        matched: whether it matched a ground truth at each IoU threshold [T, N].
        ignored: whether it counts neither way at each IoU threshold [T, N].
        gt_image_index: image of each pair [P].
        gt_class_index: class of each pair [P].
        gt_count: ground truths of each pair that are not ignored [P].
    """

    image_ids: np.ndarray
    category_ids: np.ndarray
    image_index: np.ndarray
    class_index: np.ndarray
    score: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray
    gt_image_index: np.ndarray
    gt_class_index: np.ndarray
    gt_count: np.ndarray

    @classmethod
    def from_lvis_eval(cls, lvis_eval: Any) -> "Matches":
        """Extract the columns of an evaluated `lvis.LVISEval`."""
        params = lvis_eval.params
        keys = ("dt_scores", "dt_matches", "dt_ignore", "gt_ignore")
        axes = params.cat_ids, params.area_rng, params.img_ids, params.iou_thrs
        return cls._from_entries(lvis_eval.eval_imgs, *axes, keys)

    @classmethod
    def from_coco_eval(cls, coco_eval: Any) -> "Matches":
        """Extract the columns of an evaluated `pycocotools.cocoeval.COCOeval`."""
        params = coco_eval.params
        keys = ("dtScores", "dtMatches", "dtIgnore", "gtIgnore")
        axes = params.catIds, params.areaRng, params.imgIds, params.iouThrs
        return cls._from_entries(coco_eval.evalImgs, *axes, keys)

    @classmethod
    def _from_entries(
        cls, entries, category_ids, area_ranges, image_ids, iou_thresholds, keys
    ) -> "Matches":
        """Columns of the APIs' list of entries: by class, then area range, then image."""
        stride = len(area_ranges) * len(image_ids)
        found = [
            (i, k, [np.asarray(entry[key]) for key in keys])
            for k in range(len(category_ids))
            # Area "all" is the first block of images of each class.
            for i, entry in enumerate(entries[k * stride : k * stride + len(image_ids)])
            if entry is not None
        ]
        return cls.from_pairs(image_ids, category_ids, len(iou_thresholds), found)

    @classmethod
    def from_pairs(
        cls,
        image_ids: Sequence[int],
        category_ids: Sequence[int],
        num_thresholds: int,
        found: Sequence[tuple[int, int, Sequence[np.ndarray]]],
    ) -> "Matches":
        """Join the columns of (image, class) pairs.

        Args:
            image_ids: id of each image [I], ascending.
            category_ids: id of each class [K], ascending.
            num_thresholds: number T of IoU thresholds.
            found: by class, then image: image index, class index and, of the pair, by falling
                score, scores [n], matches [T, n], whether ignored [T, n], and whether each ground
                truth is ignored. Zero is no match.
        """
        image_index = np.array([i for i, _, _ in found], dtype=np.int32)
        class_index = np.array([k for _, k, _ in found], dtype=np.int32)
        scores, matches, ignored, gt_ignored = ([c[i] for _, _, c in found] for i in range(4))
        nothing = np.zeros((num_thresholds, 0))
        num_dets = np.array([len(s) for s in scores], dtype=np.int64)
        gt_count = np.array([np.sum(g == 0) for g in gt_ignored], np.int32)
        has_gt = gt_count > 0
        return cls(
            image_ids=id_array(image_ids),
            category_ids=id_array(category_ids),
            image_index=np.repeat(image_index, num_dets),
            class_index=np.repeat(class_index, num_dets),
            score=np.concatenate([[], *scores]),
            matched=np.hstack([nothing, *matches]) != 0,
            ignored=np.hstack([nothing, *ignored]) != 0,
            gt_image_index=image_index[has_gt],
            gt_class_index=class_index[has_gt],
            gt_count=gt_count[has_gt],
        )

    def save(self, path: str | os.PathLike) -> None:
        """Write the columns as a compressed ``.npz``, atomically."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("matched", "ignored"):
            columns[name] = np.packbits(columns[name], axis=1)
        partial = f"{os.fspath(path)}.partial"
        with open(partial, "wb") as f:
            np.savez_compressed(f, **columns)
        os.replace(partial, path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Matches":
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it does not hold the columns of `Matches`.
        """
        with np.load(path) as stored:
            missing = [field.name for field in fields(cls) if field.name not in stored]
            if missing:
                raise ValueError(f"'{path}' lacks {missing}: it was not written by Matches.save.")
            columns = {field.name: stored[field.name] for field in fields(cls)}
        for name in ("matched", "ignored"):
            bits = np.unpackbits(columns[name], axis=1, count=len(columns["score"]))
            columns[name] = bits.astype(bool)
        return cls(**columns)

    def instances_per_class(self) -> np.ndarray:
        """Count the ground truths that enter AP, per class [K]."""
        count = np.bincount(self.gt_class_index, self.gt_count, minlength=len(self.category_ids))
        return count.astype(np.int64)
