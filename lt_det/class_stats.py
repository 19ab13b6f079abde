"""Class statistics of a data set: the ground everything else in lt_det stands on.

A :class:`ClassStats` says how often each class occurs, in images and in instances. Losses take
their priors from it, samplers their rates and evaluation its rare/common/frequent groups. It is a
plain value: no Detectron2, no torch, no globals.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = [
    "COUNT_TYPES",
    "GROUP_NAMES",
    "LVIS_THRESHOLDS",
    "ClassStats",
    "check_group_thresholds",
]

# Name of each group index; groups are integer arrays (K,) of 0, 1, 2, or -1 for none.
GROUP_NAMES = ("rare", "common", "frequent")
# LVIS: image counts that end the rare and the common group.
LVIS_THRESHOLDS = (10, 100)
COUNT_TYPES = ("image", "instance")


@dataclass(frozen=True, eq=False)
class ClassStats:
    """How often each of K classes occurs in a data set.

    Counts are floats because repeat-corrected counts are expectations, not integers.

    Args:
        num_classes: K, the number of foreground classes.
        num_images: number of images with at least one annotation (or the sum of their weights).
        image_count: shape (K,), number of images containing each class.
        instance_count: shape (K,), number of instances of each class.

    Raises:
        ValueError: if shapes or values cannot be counts.
    """

    num_classes: int
    num_images: float
    image_count: np.ndarray
    instance_count: np.ndarray

    def __post_init__(self) -> None:
        """Convert counts to float64 and check them."""
        if self.num_classes < 1:
            raise ValueError(f"Expected `num_classes` to be at least 1, but got {self.num_classes}")
        for name in ("image_count", "instance_count"):
            # A copy: a value must not change with its caller's array or with a model's buffer.
            count = np.array(getattr(self, name), dtype=np.float64)
            if count.shape != (self.num_classes,):
                raise ValueError(
                    f"Expected `{name}` to have shape ({self.num_classes},), one count a class, "
                    f"but got {count.shape}"
                )
            if not np.isfinite(count).all() or (count < 0).any():
                raise ValueError(
                    f"Expected `{name}` to be finite and not negative, but got {count}"
                )
            object.__setattr__(self, name, count)
        object.__setattr__(self, "num_images", float(self.num_images))
        at_least = self.image_count.max() - 1e-6 * self.num_images
        if not (np.isfinite(self.num_images) and self.num_images >= at_least):
            raise ValueError(
                f"Expected `num_images` to be finite and at least the largest image count "
                f"{self.image_count.max():g}, but got {self.num_images:g}"
            )

    def __eq__(self, other: object) -> bool:
        """Two statistics are equal when all their counts are."""
        if not isinstance(other, ClassStats):
            return NotImplemented
        return (
            self.num_classes == other.num_classes
            and self.num_images == other.num_images
            and np.array_equal(self.image_count, other.image_count)
            and np.array_equal(self.instance_count, other.instance_count)
        )

    @classmethod
    def from_dicts(
        cls,
        dataset_dicts: Iterable[Mapping],
        num_classes: int,
        image_weights: Sequence[float] | np.ndarray | None = None,
    ) -> ClassStats:
        """Count the classes of a data set in Detectron2's standard format.

        Crowd regions are not counted. Images without annotations do not count as images, as in
        the published LVIS image frequencies.

        Args:
            dataset_dicts: records with ``annotations``, each with a contiguous ``category_id``.
            num_classes: K.
            image_weights: one weight per record, e.g. a sampler's ``image_weights()``; the counts
                are then what training sees in expectation.

        Raises:
            ValueError: if a ``category_id`` is outside [0, K) or the weights do not fit.
        """
        dataset_dicts = list(dataset_dicts)
        class_ids, rows = _flatten(dataset_dicts)
        bad = (class_ids < 0) | (class_ids >= num_classes)
        if bad.any():
            raise ValueError(
                f"Expected every category_id to be in [0, {num_classes}), but got "
                f"{int(class_ids[bad][0])}: NUM_CLASSES does not fit the data set"
            )
        weights = _check_weights(image_weights, len(dataset_dicts))
        # A class counts once an image, however many instances. (np.unique hashes integers,
        # which took three quarters of the time on LVIS.)
        pairs = np.sort(rows * num_classes + class_ids)
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]
        has_instances = np.bincount(rows, minlength=len(dataset_dicts)) > 0
        return cls(
            num_classes=num_classes,
            num_images=float(weights[has_instances].sum()),
            image_count=np.bincount(
                pairs % num_classes, weights[pairs // num_classes], minlength=num_classes
            ),
            instance_count=np.bincount(class_ids, weights[rows], minlength=num_classes),
        )

    def count(self, count_type: str) -> np.ndarray:
        """Counts of the given type ("image" or "instance"), shape (K,)."""
        if count_type not in COUNT_TYPES:
            raise ValueError(
                f"Expected `count_type` to be one of {COUNT_TYPES}, got {count_type!r}"
            )
        return self.image_count if count_type == "image" else self.instance_count

    def groups(self, thresholds: tuple[int, int] = LVIS_THRESHOLDS) -> np.ndarray:
        """Group of each class by image count: 0 rare, 1 common, 2 frequent.

        LVIS: rare <= 10 < common <= 100 < frequent.

        Returns:
            int array of shape (K,), an index into :data:`GROUP_NAMES`.
        """
        check_group_thresholds(thresholds)
        return np.searchsorted(np.asarray(thresholds), self.image_count, side="left")

    def to_dict(self) -> dict:
        """A JSON-ready dict that :meth:`from_dict` reads."""
        return {
            "num_classes": self.num_classes,
            "num_images": self.num_images,
            "image_count": self.image_count.tolist(),
            "instance_count": self.instance_count.tolist(),
        }

    @classmethod
    def from_dict(cls, values: Mapping) -> ClassStats:
        """Inverse of :meth:`to_dict`."""
        missing = {"num_classes", "num_images", "image_count", "instance_count"} - set(values)
        if missing:
            raise ValueError(f"Class statistics lack the keys {sorted(missing)}")
        return cls(
            num_classes=int(values["num_classes"]),
            num_images=values["num_images"],
            image_count=np.asarray(values["image_count"]),
            instance_count=np.asarray(values["instance_count"]),
        )

    def save(self, path: str | Path) -> None:
        """Write the statistics to a JSON file, atomically."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(self.to_dict()))
        temporary.replace(path)

    @classmethod
    def load(cls, path: str | Path) -> ClassStats:
        """Read a file written by :meth:`save`.

        Raises:
            FileNotFoundError: if the file does not exist.
            ValueError: if it is not valid JSON or lacks a count.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"Class statistics file not found: {path}. Leave DATASETS.CLASS_STATS_FILE empty "
                "to compute them from the training set"
            )
        try:
            return cls.from_dict(json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} is not a class statistics file: {error}") from error


def check_group_thresholds(thresholds: Sequence[int]) -> None:
    """Raise ValueError unless ``thresholds`` are two increasing positive image counts."""
    if len(thresholds) != 2 or not 0 < thresholds[0] < thresholds[1]:
        raise ValueError(
            "Expected DATASETS.GROUP_THRESHOLDS to be two increasing positive image counts "
            f"(LVIS: 10, 100), but got {tuple(thresholds)}"
        )


def _flatten(dataset_dicts: Sequence[Mapping]) -> tuple[np.ndarray, np.ndarray]:
    """Class id and record index of every annotation that is not a crowd region."""
    per_image = [
        [a["category_id"] for a in record.get("annotations", ()) if not a.get("iscrowd", 0)]
        for record in dataset_dicts
    ]
    lengths = np.fromiter(map(len, per_image), dtype=np.int64, count=len(per_image))
    class_ids = np.fromiter(
        (class_id for ids in per_image for class_id in ids), dtype=np.int64, count=lengths.sum()
    )
    return class_ids, np.repeat(np.arange(len(per_image)), lengths)


def _check_weights(image_weights, num_records: int) -> np.ndarray:
    if image_weights is None:
        return np.ones(num_records)
    weights = np.asarray(image_weights, dtype=np.float64)
    if weights.shape != (num_records,) or not (weights >= 0).all():
        raise ValueError(
            f"Expected `image_weights` to hold {num_records} weights >= 0, one an image, "
            f"but got shape {weights.shape}"
        )
    return weights
