"""What AP needs to know of an evaluation: which detections matched, in columns."""

import os
from dataclasses import dataclass, fields
from typing import Any

import numpy as np


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
        image_ids = np.asarray(lvis_eval.params.img_ids, dtype=np.int64)
        category_ids = np.asarray(lvis_eval.params.cat_ids, dtype=np.int64)
        num_images, num_thresholds = len(image_ids), len(lvis_eval.params.iou_thrs)
        stride = len(lvis_eval.params.area_rng) * num_images
        found = [
            (i, k, entry)
            for k in range(len(category_ids))
            # Area "all" is the first block of images of each class.
            for i, entry in enumerate(lvis_eval.eval_imgs[k * stride : k * stride + num_images])
            if entry is not None
        ]
        image_index = np.array([i for i, _, _ in found], dtype=np.int32)
        class_index = np.array([k for _, k, _ in found], dtype=np.int32)
        num_dets = np.array([len(entry["dt_scores"]) for _, _, entry in found], dtype=np.int64)
        gt_count = np.array([np.sum(entry["gt_ignore"] == 0) for _, _, entry in found], np.int32)
        has_gt = gt_count > 0
        nothing = np.zeros((num_thresholds, 0))
        return cls(
            image_ids=image_ids,
            category_ids=category_ids,
            image_index=np.repeat(image_index, num_dets),
            class_index=np.repeat(class_index, num_dets),
            score=np.concatenate([[], *(entry["dt_scores"] for _, _, entry in found)]),
            matched=np.hstack([nothing, *(entry["dt_matches"] for _, _, entry in found)]) != 0,
            ignored=np.hstack([nothing, *(entry["dt_ignore"] for _, _, entry in found)]) != 0,
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
