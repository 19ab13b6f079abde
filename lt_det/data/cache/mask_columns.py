"""Masks of a data set's objects as arrays: polygons as one long list of numbers, others as JSON.

Numbers are most of a data set, so they are not read when a file is opened: each picture's have a
checksum, which is compared when the picture is read.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from lt_det.data.cache.column_file import DamagedError
from lt_det.data.cache.value_columns import (
    MISSING,
    NotRepresentableError,
    Numbers,
    Values,
    numbers_to_arrays,
    values_to_arrays,
)

__all__ = ["STAND_INS", "UNCHECKED", "Masks", "masks_to_arrays"]

# What an object has: nothing, polygons, an RLE (or whatever JSON holds), or an RLE whose counts are
# bytes, as pycocotools makes it.
_MISSING, _POLYGONS, _JSON, _BYTES = range(4)
# An empty mask of each kind.
STAND_INS = (MISSING, [], {}, {})
UNCHECKED = ("values",)


def masks_to_arrays(masks: Sequence, first_object: np.ndarray) -> dict[str, np.ndarray]:
    """Arrays for :class:`Masks`.

    Args:
        masks: ``segmentation`` of A objects, :data:`MISSING` for none.
        first_object: (N + 1,) the first object of each of N pictures, and A.

    Raises:
        NotRepresentableError: if a mask would come back as another one.
    """
    kinds = np.fromiter(map(_kind, masks), dtype=np.uint8, count=len(masks))
    lists = [mask if kind == _POLYGONS else () for mask, kind in zip(masks, kinds, strict=True)]
    polygons = list(itertools.chain.from_iterable(lists))
    if any(type(polygon) is not list for polygon in polygons):
        raise NotRepresentableError("a polygon is no list")
    num_polygons = np.fromiter(map(len, lists), dtype=np.int32, count=len(lists))
    lengths = np.fromiter(map(len, polygons), dtype=np.int32, count=len(polygons))
    first_polygon = _starts(num_polygons)[first_object]
    first_number = _starts(lengths)[first_polygon]
    numbers = numbers_to_arrays(itertools.chain.from_iterable(polygons))
    arrays = {
        "kind": kinds,
        "num_polygons": num_polygons,
        "length": lengths,
        "first_polygon": first_polygon,
        "first_number": first_number,
        "checksum": _checksums(numbers["values"], first_number),
        **numbers,
    }
    if (kinds >= _JSON).any():
        others = [_as_json(mask, kind) for mask, kind in zip(masks, kinds, strict=True)]
        arrays |= values_to_arrays(others)
    return arrays


class Masks:
    """Masks kept by :func:`masks_to_arrays`.

    Attributes:
        kind: (A,) of every object, an index into :data:`STAND_INS`.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]):
        self.kind = arrays["kind"]
        self._arrays = arrays
        self._numbers = Numbers(arrays)
        self._others = Values(arrays) if "ends" in arrays else None

    def of_picture(self, picture: int, start: int, end: int) -> list:
        """``segmentation`` of the objects ``start`` to before ``end``, those of a picture.

        Raises:
            DamagedError: if the numbers are not as they were written.
        """
        polygons = self._polygons(picture)
        kinds = self.kind[start:end].tolist()
        counts = self._arrays["num_polygons"][start:end].tolist()
        masks = [list(itertools.islice(polygons, count)) for count in counts]
        if kinds.count(_POLYGONS) < len(kinds):
            others = [None] * len(kinds) if self._others is None else self._others.part(start, end)
            for i, kind in enumerate(kinds):
                if kind != _POLYGONS:
                    masks[i] = _from_json(others[i], kind)
        return masks

    def _polygons(self, picture: int):
        start, end = self._arrays["first_number"][picture : picture + 2].tolist()
        if zlib.crc32(self._arrays["values"][start:end]) != self._arrays["checksum"][picture]:
            raise DamagedError(f"the polygons of picture number {picture} are damaged")
        numbers = self._numbers.part(start, end)
        first, last = self._arrays["first_polygon"][picture : picture + 2].tolist()
        place = 0
        for length in self._arrays["length"][first:last].tolist():
            yield numbers[place : place + length]
            place += length


def _kind(mask) -> int:
    if mask is MISSING:
        return _MISSING
    if type(mask) is list:
        return _POLYGONS
    return _BYTES if isinstance(mask, dict) and type(mask.get("counts")) is bytes else _JSON


def _as_json(mask, kind: int):
    if kind == _BYTES:
        return {**mask, "counts": mask["counts"].decode("ascii")}
    return mask if kind == _JSON else MISSING


def _from_json(mask, kind: int):
    if kind == _BYTES:
        return {**mask, "counts": mask["counts"].encode("ascii")}
    return mask if kind == _JSON else MISSING


def _starts(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _checksums(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    parts = (zlib.crc32(values[a:b]) for a, b in itertools.pairwise(starts.tolist()))
    return np.fromiter(parts, dtype=np.uint32, count=len(starts) - 1)
