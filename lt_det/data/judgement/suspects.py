"""Find the annotations that may be odd, in bulk: most files have none.

An annotation that is no suspect is one that :func:`judge_annotation` returns as it is, without a
word. The reverse does not hold: a suspect may turn out to be fine.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lt_det.data.judgement.annotations import Context
from lt_det.data.judgement.boxes import SLACK, THINNEST, is_box
from lt_det.data.judgement.masks import FARTHEST
from lt_det.data.judgement.rle import divide_masks
from lt_det.data.judgement.values import LARGEST_AREA, MISSING, values_of

__all__ = ["Columns"]

# Characters; a code of a mask without a pixel is shorter.
_SHORT = 16
_NO_BOX = [np.nan] * 4
# Polygons whose points are in one array: all of a large file take longer, and gigabytes.
_AT_ONCE = 1 << 13
_NO_MASK, _POLYGONS, _RLE = 1, 2, 3
_KINDS = {type(MISSING): _NO_MASK, list: _POLYGONS, dict: _RLE}


@dataclass(frozen=True)
class Columns:
    """Columns of N annotations.

    Attributes:
        boxes: (N, 4) x, y, width, height in float64; NaN where a box is not valid.
        sizes: (N, 2) width and height of their images; NaN where they are not known.
        suspects: (N,) whether an annotation may be odd.
    """

    boxes: np.ndarray
    sizes: np.ndarray
    suspects: np.ndarray

    @classmethod
    def of(cls, annotations: Sequence[dict], context: Context) -> Columns:
        """Read the columns of annotations that are dictionaries."""
        image_ids = values_of(annotations, "image_id")
        odd = _unknown(image_ids, context.images)
        odd |= _unknown(values_of(annotations, "category_id"), context.category_ids)
        boxes = _boxes(values_of(annotations, "bbox"))
        sizes = _sizes(image_ids, context.images, odd)
        odd |= ~_lie_within(boxes, sizes)
        odd |= _odd_flags(annotations, context.is_lvis)
        odd |= _odd_areas(values_of(annotations, "area"), context.is_lvis)
        odd |= _odd_masks(values_of(annotations, "segmentation"), sizes)
        return cls(boxes, sizes, odd)


def _where(values: Iterable[bool], number: int) -> np.ndarray:
    return np.fromiter(values, dtype=bool, count=number)


def _unknown(ids: list, known: Any) -> np.ndarray:
    kinds = set(map(type, known))
    if set(map(type, ids)) <= kinds and set(ids) <= set(known):
        return np.zeros(len(ids), dtype=bool)
    return _where((type(i) not in kinds or i not in known for i in ids), len(ids))


def _boxes(column: list) -> np.ndarray:
    if set(map(type, column)) <= {list} and set(map(len, column)) <= {4}:
        flat = list(itertools.chain.from_iterable(column))
        if set(map(type, flat)) <= {int, float}:
            try:
                return np.array(flat, dtype=np.float64).reshape(-1, 4)
            except OverflowError:
                pass
    boxes = [box if is_box(box) else _NO_BOX for box in column]
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)


def _sizes(image_ids: list, images: Any, odd: np.ndarray) -> np.ndarray:
    """Width and height of each annotation's image."""
    size_of = {
        i: (image.get("width", np.nan), image.get("height", np.nan)) for i, image in images.items()
    }
    if odd.any():
        nothing = (np.nan, np.nan)
        sizes = [nothing if o else size_of[i] for i, o in zip(image_ids, odd, strict=True)]
    else:
        sizes = [size_of[i] for i in image_ids]
    flat = itertools.chain.from_iterable(sizes)
    return np.fromiter(flat, dtype=np.float64, count=2 * len(sizes)).reshape(-1, 2)


def _lie_within(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Tell which boxes have an area inside of their image, and do not leave it."""
    starts, ends = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    # Comparisons with NaN are False.
    within = (starts >= -SLACK) & (ends <= sizes + SLACK)
    within &= np.maximum(starts, 0) + THINNEST < np.minimum(ends, sizes)
    return within.all(axis=1)


def _odd_flags(annotations: Sequence[dict], is_lvis: bool) -> np.ndarray:
    crowds, ignored = values_of(annotations, "iscrowd"), values_of(annotations, "ignore")
    odd = np.zeros(len(annotations), dtype=bool)
    for column, allowed in ((crowds, (0,) if is_lvis else (0, 1)), (ignored, (0,))):
        values = {MISSING, *allowed}
        if set(map(type, column)) <= {int, type(MISSING)} and set(column) <= values:
            continue
        odd |= _where(
            (v is not MISSING and (type(v) is not int or v not in allowed) for v in column),
            len(column),
        )
    if not is_lvis and set(map(type, ignored)) != {type(MISSING)}:
        # The key is dropped.
        odd |= _where((v is not MISSING for v in ignored), len(ignored))
    return odd


def _odd_areas(column: list, is_lvis: bool) -> np.ndarray:
    """Tell which areas are not missing, and no numbers of 0 (LVIS: above 0) to 1e10."""
    if set(map(type, column)) <= {int, float}:
        try:
            areas = np.array(column, dtype=np.float64)
        except OverflowError:
            return np.ones(len(column), dtype=bool)
        return ~((areas <= LARGEST_AREA) & (areas > 0 if is_lvis else areas >= 0))
    return _where((v is not MISSING and not _is_area(v) for v in column), len(column))


def _is_area(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value <= LARGEST_AREA


def _odd_masks(column: list, sizes: np.ndarray) -> np.ndarray:
    kinds = np.fromiter((_KINDS.get(type(m), 0) for m in column), np.int8, len(column))
    odd = kinds == 0
    masks = [m for m in column if type(m) is list]
    odd[kinds == _POLYGONS] = _odd_polygons_of(masks, sizes[kinds == _POLYGONS])
    odd |= (kinds == _POLYGONS) & np.isnan(sizes).any(axis=1)
    if (kinds == _RLE).any():
        rles = [m for m in column if type(m) is dict]
        odd[kinds == _RLE] = _odd_rles(rles, sizes[kinds == _RLE])
    return odd


def _odd_rles(rles: list[dict], sizes: np.ndarray) -> np.ndarray:
    """Tell which are no compressed code of their image's size that divides the mask."""
    fits = _where(
        (
            type(rle.get("counts")) is str
            and len(rle["counts"]) >= _SHORT
            and type(size := rle.get("size")) is list
            and set(map(type, size)) == {int}
            and size == expected
            for rle, expected in zip(rles, sizes[:, ::-1].tolist(), strict=True)
        ),
        len(rles),
    )
    rows = np.flatnonzero(fits)
    pixels = sizes[rows].prod(axis=1).astype(np.int64)
    fits[rows] = divide_masks([rles[row]["counts"] for row in rows.tolist()], pixels)
    return ~fits


def _odd_polygons_of(masks: list[list], sizes: np.ndarray) -> np.ndarray:
    counts = np.fromiter(map(len, masks), dtype=np.int64, count=len(masks))
    odd = counts == 0
    polygons = list(itertools.chain.from_iterable(masks))
    sizes = np.repeat(sizes, counts, axis=0)
    parts = [
        _odd_polygons(polygons[start : start + _AT_ONCE], sizes[start : start + _AT_ONCE])
        for start in range(0, len(polygons), _AT_ONCE)
    ]
    bad = np.concatenate([np.zeros(0, dtype=bool), *parts])
    if bad.any():
        odd[np.repeat(np.arange(len(masks)), counts)[bad]] = True
    return odd


def _odd_polygons(polygons: list, sizes: np.ndarray) -> np.ndarray:
    if not (set(map(type, polygons)) <= {list} and _hold_numbers(polygons)):
        return np.ones(len(polygons), dtype=bool)
    lengths = np.fromiter(map(len, polygons), dtype=np.int64, count=len(polygons))
    odd = (lengths < 6) | (lengths % 2 == 1)
    return odd | _far_away(polygons, lengths, sizes)


def _hold_numbers(polygons: list[list]) -> bool:
    """Tell whether lists hold numbers alone, or truth values; a sum is faster than all types."""
    try:
        sum(map(sum, polygons))
    except (TypeError, OverflowError):
        return False
    return True


def _far_away(polygons: list, lengths: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Tell which polygons hold a number that is not finite or far away, or a truth value, or are
    outside.
    """
    odd = lengths == 0
    flat = itertools.chain.from_iterable(polygons)
    try:
        points = np.fromiter(flat, dtype=np.float64, count=int(lengths.sum()))
    except OverflowError:
        return np.ones(len(polygons), dtype=bool)
    ends = np.cumsum(lengths)
    # A comparison with NaN is False.
    odd[_rows_of(~(np.abs(points) <= FARTHEST), ends)] = True
    # True and False are 1 and 0.
    for row in _rows_of((points == 0) | (points == 1), ends).tolist():
        odd[row] |= bool in map(type, polygons[row])
    return odd | _lie_outside(points, lengths, sizes)


def _rows_of(marks: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Give the rows, which end before ``ends``, that hold a marked value."""
    return np.unique(np.searchsorted(ends, np.flatnonzero(marks), side="right"))


def _lie_outside(points: np.ndarray, lengths: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Tell which polygons are on one side of their image; those of odd lengths are odd anyway."""
    outside = np.ones(len(lengths), dtype=bool)
    is_pairs = (lengths > 0) & (lengths % 2 == 0)
    if not is_pairs.any():
        return outside
    pairs = points if is_pairs.all() else points[np.repeat(is_pairs, lengths)]
    starts = np.cumsum(lengths[is_pairs] // 2) - lengths[is_pairs] // 2
    highest, lowest = (
        np.stack([f.reduceat(pairs[axis::2], starts) for axis in (0, 1)], axis=1)
        for f in (np.maximum, np.minimum)
    )
    # Comparisons with NaN are False.
    outside[is_pairs] = ~((highest > 0) & (lowest < sizes[is_pairs])).all(axis=1)
    return outside
