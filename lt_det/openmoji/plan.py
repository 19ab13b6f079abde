"""Which pictures a generated data set has: its classes' drawings, what each picture shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lt_det.openmoji.spec import SPLITS, OpenMojiSpec
from lt_det.openmoji.sprites import find_families, load_sprites

__all__ = ["Catalogue", "Picture", "draw_extra", "draw_ordinary", "draw_train"]


@dataclass(frozen=True)
class Picture:
    """A picture to be made: its classes, first placed first, and what it verifies.

    ``focus`` is the class an extra picture was made for, or None for an ordinary picture.
    """

    split: str
    number: int
    classes: tuple[int, ...]
    focus: int | None = None

    @property
    def file_name(self) -> str:
        """Path below the data set's folder."""
        return f"{self.split}/{self.number:06d}.png"


class Catalogue:
    """Which drawing each class is. Class k has rank k: 0 is the most frequent."""

    def __init__(self, spec: OpenMojiSpec, seed: int):
        sprites = load_sprites(spec.min_filling)
        families = find_families(
            sprites, spec.num_families, spec.family_size, spec.min_family_distance
        )
        rng = np.random.default_rng([seed, len(SPLITS)])
        # Member m of every family before member m + 1 of any: each family gets a class of each
        # part of the frequency range.
        order = [
            (int(f), m) for m in range(spec.family_size) for f in rng.permutation(len(families))
        ]
        order = order[: spec.num_classes]
        turn = rng.integers(spec.family_size, size=len(families))
        self.family = np.array([family for family, _ in order])
        self.codes = [families[f][(m + turn[f]) % spec.family_size] for f, m in order]
        self.sprites = [sprites[code] for code in self.codes]

    def family_of(self, class_id: int) -> set[int]:
        """All classes of a class's family, itself included."""
        return set(np.flatnonzero(self.family == self.family[class_id]).tolist())


def draw_ordinary(
    spec: OpenMojiSpec, split: str, number: int, seed: int, rates=None
) -> list[Picture]:
    """Ordinary pictures: classes drawn independently at their rates, the rarest placed first."""
    rng = np.random.default_rng([seed, SPLITS.index(split), 1])
    rates = spec.class_rates() if rates is None else rates
    low, high = spec.objects_per_picture
    pictures = []
    for index in range(number):
        classes = rng.choice(spec.num_classes, rng.integers(low, high + 1), p=rates)
        pictures.append(Picture(split, index, tuple(sorted(classes.tolist(), reverse=True))))
    return pictures


def draw_train(spec: OpenMojiSpec, seed: int) -> list[Picture]:
    """Ordinary pictures, and one more for every class that none of them shows."""
    pictures = draw_ordinary(spec, "train", spec.num_train, seed)
    # The first object of a picture is never left out, so its class is certain to be seen.
    seen = {picture.classes[0] for picture in pictures}
    missing = sorted(set(range(spec.num_classes)) - seen - _certain_head(pictures))
    return pictures + _focused(spec, "train", missing, len(pictures), seed)


def _certain_head(pictures: Sequence[Picture]) -> set[int]:
    """Classes drawn so often that leaving out some objects cannot remove them."""
    drawn = np.bincount([c for picture in pictures for c in picture.classes])
    return set(np.flatnonzero(drawn >= 20).tolist())


def draw_extra(
    spec: OpenMojiSpec, split: str, made: Sequence, rare: np.ndarray, seed: int
) -> list[Picture]:
    """Pictures that bring every rare class to ``min_rare_instances``."""
    have = np.bincount(
        [a["category"] for _, annotations in made for a in annotations], minlength=spec.num_classes
    )
    focus = np.repeat(rare, np.maximum(spec.min_rare_instances - have[rare], 0))
    return [
        dataclasses.replace(picture, focus=int(c))
        for c, picture in zip(
            focus, _focused(spec, split, focus.tolist(), len(made), seed), strict=True
        )
    ]


def _focused(
    spec: OpenMojiSpec, split: str, classes: Sequence[int], start: int, seed: int
) -> list[Picture]:
    """One picture for each class, which comes first; the others are drawn at their rates."""
    rng = np.random.default_rng([seed, SPLITS.index(split), 2])
    low, high = spec.objects_per_picture
    rates = spec.class_rates()
    pictures = []
    for index, focus in enumerate(classes, start=start):
        others = rng.choice(spec.num_classes, rng.integers(low, high + 1) - 1, p=rates)
        pictures.append(Picture(split, index, (focus, *others.tolist())))
    return pictures
