"""The OpenMoji data set: what there is of it, its presets, its registered names.

Classes come in families of look-alike drawings whose members range from frequent to rare, because
only then does a rare class lose to a look-alike head class, as in LVIS. See datasets/README.md.
"""

from __future__ import annotations

import dataclasses
import math
import os
from dataclasses import dataclass

import numpy as np
from detectron2.data.datasets.lvis_v1_category_image_count import LVIS_CATEGORY_IMAGE_COUNT

__all__ = ["PRESETS", "SPLITS", "OpenMojiSpec", "default_folder", "set_name"]

SPLITS = ("train", "dev", "val", "val_uniform")


@dataclass(frozen=True)
class OpenMojiSpec:
    """Everything that decides a generated data set, but for its seed.

    Args:
        num_classes: K.
        family_size: look-alike classes in a family; where it does not divide K, some families
            have fewer.
        imbalance_ratio: rate of the most frequent class over that of the least frequent. In between
            rates fall exponentially, as in the long-tailed CIFAR sets (Cao et al., NeurIPS 2019).
        class_counts: relative rates of the classes, most frequent first, instead of the
            exponential profile; e.g. the image counts of LVIS.
        num_train: pictures of a split; likewise for the others. Extra pictures come on top.
        num_dev: see ``num_train``.
        num_val: see ``num_train``.
        num_val_uniform: see ``num_train``.
        picture_size: side of the square pictures, px.
        objects_per_picture: fewest and most.
        object_size: smallest and largest longer side of a drawing, px.
        min_visible: share of an object that must stay visible, above 0.
        min_family_distance: least distance of two members, see :func:`find_families`.
        min_filling: least share of opaque pixels of a drawing, see :func:`load_sprites`.
        min_rare_instances: instances of every rare class in dev and val.
        verified_negative: probability that an absent class is verified to be absent.
        not_exhaustive: probability that a class with several instances in a picture has one of
            them unannotated and is listed as not exhaustive; the less frequent half of the
            classes is spared.

    Raises:
        ValueError: naming the field and what was expected.
    """

    num_classes: int = 80
    family_size: int = 4
    imbalance_ratio: float = 1000.0
    class_counts: tuple[float, ...] = ()
    num_train: int = 2400
    num_dev: int = 300
    num_val: int = 600
    num_val_uniform: int = 300
    picture_size: int = 112
    objects_per_picture: tuple[int, int] = (2, 4)
    object_size: tuple[int, int] = (24, 44)
    min_visible: float = 0.5
    min_family_distance: float = 0.06
    min_filling: float = 0.45
    min_rare_instances: int = 10
    # Eight of 80 classes: about as many a picture as LVIS verifies (606 in 64 of v0.5 val).
    verified_negative: float = 0.1
    not_exhaustive: float = 0.3

    def __post_init__(self) -> None:
        """Check every field."""
        for name in ("num_classes", "family_size", "num_train", "picture_size"):
            _check(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("num_dev", "num_val", "num_val_uniform", "min_rare_instances"):
            _check(getattr(self, name) >= 0, name, getattr(self, name), "at least 0")
        for name in ("min_filling", "verified_negative", "not_exhaustive"):
            _check(0 <= getattr(self, name) <= 1, name, getattr(self, name), "in [0, 1]")
        # At 0 an object may vanish, and with it the only instance of a class.
        _check(0 < self.min_visible <= 1, "min_visible", self.min_visible, "in (0, 1]")
        for name, least in (("imbalance_ratio", 1), ("min_family_distance", 0)):
            value = getattr(self, name)
            _check(least <= value < math.inf, name, value, f"finite and at least {least}")
        for name in ("objects_per_picture", "object_size"):
            value = getattr(self, name)
            good = len(value) == 2 and 1 <= value[0] <= value[1]
            _check(good, name, value, "two increasing values of at least 1")
        _check(
            self.object_size[1] <= self.picture_size,
            "object_size",
            self.object_size,
            f"at most the picture_size {self.picture_size}",
        )
        if self.class_counts:
            counts = np.asarray(self.class_counts, dtype=float)
            _check(
                len(counts) == self.num_classes,
                "class_counts",
                f"{len(counts)} counts",
                f"num_classes = {self.num_classes} counts",
            )
            good = (counts > 0) & np.isfinite(counts)
            _check(good.all(), "class_counts", counts[~good][:5], "finite and above 0")

    @property
    def num_families(self) -> int:
        """Number of families."""
        return -(-self.num_classes // self.family_size)

    def class_rates(self) -> np.ndarray:
        """Probability of each class, most frequent first, shape (K,), summing to 1."""
        rates = np.asarray(self.class_counts, dtype=float)
        if not self.class_counts:
            rates = np.geomspace(1.0, 1 / self.imbalance_ratio, self.num_classes)
        return np.sort(rates)[::-1] / rates.sum()

    def scaled(self, factor: float) -> OpenMojiSpec:
        """The same scenes, ``factor`` times as many pictures in each split that has any.

        Pictures that every class or every rare class needs still come on top.

        Raises:
            ValueError: if the factor is not above 0.
        """
        _check(0 < factor < math.inf, "scale", factor, "finite and above 0")
        numbers = {name: getattr(self, name) for name in (f"num_{split}" for split in SPLITS)}
        scaled = {name: max(min(n, 1), round(n * factor)) for name, n in numbers.items()}
        return dataclasses.replace(self, **scaled)

    @classmethod
    def from_description(cls, description: dict) -> OpenMojiSpec:
        """Inverse of ``dataclasses.asdict`` after JSON, which has lists for tuples.

        Keys that are no field, such as a data set's seed, are passed over.
        """
        values = {f.name: description[f.name] for f in dataclasses.fields(cls)}
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def lvis_v1_spec() -> OpenMojiSpec:
    """1,203 classes at the rates of LVIS v1's training image counts, which Detectron2 ships."""
    counts = tuple(float(category["image_count"]) for category in LVIS_CATEGORY_IMAGE_COUNT)
    return OpenMojiSpec(
        num_classes=len(counts),
        class_counts=counts,
        num_train=20000,
        num_dev=500,
        num_val=2000,
        num_val_uniform=1000,
        picture_size=256,
        objects_per_picture=(3, 12),
        object_size=(32, 96),
        min_filling=0.2,
        # Of 509 rare classes: with ten each, most pictures of dev and val would be theirs.
        min_rare_instances=3,
    )


PRESETS = {
    "tiny": lambda: OpenMojiSpec(
        num_classes=8,
        num_train=40,
        num_dev=4,
        num_val=8,
        num_val_uniform=4,
        picture_size=64,
        object_size=(20, 32),
        imbalance_ratio=64.0,
        verified_negative=0.3,
    ),
    "quick": OpenMojiSpec,
    "lvis_v1": lvis_v1_spec,
}


def set_name(preset: str, live: bool = False) -> str:
    """A preset's name as a data set, without the split."""
    return f"openmoji_{'live_' if live else ''}{preset}"


def default_folder(preset: str, live: bool = False, datasets_root: str | None = None) -> str:
    """Where a preset's set lies: below ``datasets_root``, by default ``$DETECTRON2_DATASETS``."""
    datasets_root = datasets_root or os.environ.get("DETECTRON2_DATASETS", "datasets")
    return os.path.join(datasets_root, set_name(preset, live))


def _check(good: bool, name: str, value: object, expected: str) -> None:
    if not good:
        raise ValueError(f"Expected `{name}` to be {expected}, but got {value}")
