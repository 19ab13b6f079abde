"""One picture of a generated data set and its annotations, from the seed and its number alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pycocotools.mask
from PIL import Image

from lt_det.openmoji.plan import Catalogue, Picture
from lt_det.openmoji.scenes import compose
from lt_det.openmoji.spec import SPLITS, OpenMojiSpec

__all__ = ["leave_one_out", "make_picture", "paint_picture"]


def make_picture(
    picture: Picture, catalogue: Catalogue, spec: OpenMojiSpec, seed: int
) -> tuple[Image.Image, dict, list[dict]]:
    """A picture, its image record and its annotations, without ids.

    Args:
        picture: what it shows.
        catalogue: the classes' drawings and families.
        spec: of the data set.
        seed: of the data set.
    """
    sprites = [catalogue.sprites[c] for c in picture.classes]
    image, labels, rng = paint_picture(picture, sprites, spec, seed)
    verifiable = set(range(spec.num_classes))
    if picture.focus is not None:
        verifiable = catalogue.family_of(picture.focus)
    annotations = [
        {"category": c, **_annotation(labels == number)}
        for number, c in enumerate(picture.classes, start=1)
        if c in verifiable and (labels == number).any()
    ]
    not_exhaustive = leave_one_out(rng, annotations, spec) if picture.focus is None else []
    present = {annotation["category"] for annotation in annotations}
    record = {
        "file_name": picture.file_name,
        "height": spec.picture_size,
        "width": spec.picture_size,
        "neg_category_ids": _verified_absent(rng, spec, present, verifiable, picture),
        "not_exhaustive_category_ids": [c + 1 for c in not_exhaustive],
    }
    return image, record, annotations


def paint_picture(
    picture: Picture, sprites: Sequence[Image.Image], spec: OpenMojiSpec, seed: int
) -> tuple[Image.Image, np.ndarray, np.random.Generator]:
    """The RGB picture, its labels (see :func:`compose`) and what is left of its random numbers.

    Args:
        picture: what it shows.
        sprites: the drawings of ``picture.classes``.
        spec: of the data set.
        seed: of the data set.
    """
    rng = np.random.default_rng([seed, SPLITS.index(picture.split), 3, picture.number])
    image, labels = compose(rng, sprites, spec)
    return image, labels, rng


def leave_one_out(rng: np.random.Generator, annotations: list[dict], spec: OpenMojiSpec) -> list:
    """Remove one annotation of some classes that have several; returns those classes.

    Rare classes never have several at the rates in use, but for chance; the least frequent half
    of the classes is spared, so that no rare instance is lost.
    """
    classes = [annotation["category"] for annotation in annotations]
    chosen = [
        c
        for c in sorted(set(classes))
        if classes.count(c) > 1 and c < spec.num_classes // 2 and rng.random() < spec.not_exhaustive
    ]
    for c in chosen:
        del annotations[[a["category"] for a in annotations].index(c)]
    return chosen


def _annotation(mask: np.ndarray) -> dict:
    rle = pycocotools.mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {
        "bbox": pycocotools.mask.toBbox(rle).tolist(),
        "area": float(mask.sum()),
        "segmentation": {"size": list(rle["size"]), "counts": rle["counts"].decode()},
    }


def _verified_absent(rng, spec, present, verifiable, picture) -> list[int]:
    """Category ids verified to be absent. A class drawn but left out for room is truly absent."""
    if picture.focus is not None:
        return sorted(c + 1 for c in verifiable - present)
    verified = rng.random(spec.num_classes) < spec.verified_negative
    return [c + 1 for c in np.flatnonzero(verified).tolist() if c not in present]
