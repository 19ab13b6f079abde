"""Lists of JSON values as NumPy arrays, from which every value comes back as it was, type and all.

Two kinds: :class:`Numbers` are floats and ints mixed, by the million; :class:`Values` are whatever
JSON knows, one a row, mostly small integers.
"""

from __future__ import annotations

import itertools
import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = [
    "MISSING",
    "NotRepresentableError",
    "Numbers",
    "Values",
    "numbers_to_arrays",
    "values_to_arrays",
]

Arrays = Mapping[str, np.ndarray]

_BLOCK = 1 << 16
# Floats hold the integers up to here.
_LARGEST_INT = 1 << 53
# In the place of a value that is not there.
MISSING = object()


class NotRepresentableError(ValueError):
    """A value that would come back as another one."""


def numbers_to_arrays(numbers: Iterable[float]) -> dict[str, np.ndarray]:
    """Arrays for :class:`Numbers`.

    Numbers of at most two decimals, as in LVIS's files, take four bytes each: as int32 hundredths.

    Args:
        numbers: M floats and ints.

    Returns:
        ``values`` (M,) float64 or int32 hundredths, and ``is_int``, a bit each, or empty where all
        are floats.

    Raises:
        NotRepresentableError: if one is neither float nor int, or an int beyond 2 ** 53.
    """
    numbers = iter(numbers)
    values, is_int, as_hundredths = [np.empty(0)], [np.empty(0, dtype=bool)], True
    while block := list(itertools.islice(numbers, _BLOCK)):
        floats = _floats(block)
        is_int.append(_are_ints(block, floats))
        hundredths = _hundredths(floats) if as_hundredths else None
        if as_hundredths and hundredths is None:
            as_hundredths = False
            values = [_to_floats(part) for part in values]
        values.append(hundredths if as_hundredths else floats)
    if as_hundredths:
        values[0] = np.empty(0, dtype=np.int32)
    flags = np.concatenate(is_int)
    return {
        "values": np.concatenate(values),
        "is_int": np.packbits(flags) if flags.any() else np.empty(0, dtype=np.uint8),
    }


class Numbers:
    """Numbers kept by :func:`numbers_to_arrays`."""

    def __init__(self, arrays: Arrays):
        self._values, self._is_int = arrays["values"], arrays["is_int"]

    def part(self, start: int, end: int) -> list[float | int]:
        """The numbers from ``start`` to before ``end``."""
        numbers = _to_floats(self._values[start:end]).tolist()
        if len(self._is_int):
            first = start // 8
            bits = np.unpackbits(self._is_int[first : -(-end // 8)])[start - 8 * first :]
            for place in np.flatnonzero(bits[: len(numbers)]).tolist():
                numbers[place] = int(numbers[place])
        return numbers

    def raw(self, start: int, end: int) -> np.ndarray:
        """The bytes that :meth:`part` is made of."""
        return self._values[start:end]


def values_to_arrays(values: Sequence[Any]) -> dict[str, np.ndarray]:
    """Arrays for :class:`Values`.

    Returns:
        ``ints`` (M,) of the smallest integer type, where all values are ints, else ``text``, their
        JSON, and the place ``ends`` (M,) of each in it; nothing stands for :data:`MISSING`.

    Raises:
        NotRepresentableError: if one is no JSON value.
    """
    if set(map(type, values)) <= {int}:
        ints = _ints(values)
        if ints is not None:
            return {"ints": ints}
    try:
        texts = [b"" if v is MISSING else json.dumps(v).encode() for v in values]
    except (TypeError, ValueError) as error:
        raise NotRepresentableError(str(error)) from error
    ends = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)).cumsum()
    return {"text": np.frombuffer(b"".join(texts), dtype=np.uint8), "ends": ends}


class Values:
    """Values kept by :func:`values_to_arrays`."""

    def __init__(self, arrays: Arrays):
        self.ints = arrays.get("ints")
        self._text, self._ends = arrays.get("text"), arrays.get("ends")

    def part(self, start: int, end: int) -> list:
        """The values from ``start`` to before ``end``."""
        if self.ints is not None:
            return self.ints[start:end].tolist()
        ends = self._ends[start:end].tolist()
        first = int(self._ends[start - 1]) if start else 0
        text = self._text[first : ends[-1] if ends else first].tobytes()
        starts = [first, *ends]
        return [
            json.loads(text[a - first : b - first]) if a < b else MISSING
            for a, b in itertools.pairwise(starts)
        ]

    def __getitem__(self, row: int) -> Any:
        """One value."""
        return self.part(row, row + 1)[0]


def _ints(values: Sequence[int]) -> np.ndarray | None:
    """Of the smallest type that holds them; None if none does."""
    low, high = min(values, default=0), max(values, default=0)
    for dtype in (np.int8, np.int16, np.int32, np.int64):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return np.array(values, dtype=dtype)
    return None


def _floats(block: list) -> np.ndarray:
    try:
        return np.array(array("d", block))  # unlike NumPy, it takes no text for a number
    except (TypeError, OverflowError) as error:
        raise NotRepresentableError(str(error)) from error


def _are_ints(block: list, floats: np.ndarray) -> np.ndarray:
    is_int = np.zeros(len(block), dtype=bool)
    # Only whole numbers can be ints: asking each number for its type would take twice as long.
    for place in np.flatnonzero(floats == np.rint(floats)).tolist():
        kind = type(block[place])
        if kind is int and abs(block[place]) <= _LARGEST_INT:
            is_int[place] = True
        elif kind is not float:
            raise NotRepresentableError(f"{block[place]!r} is no number that a float holds")
    return is_int


def _hundredths(floats: np.ndarray) -> np.ndarray | None:
    """None if they would not come back bit by bit."""
    with np.errstate(over="ignore", invalid="ignore"):
        hundredths = np.rint(floats * 100).astype(np.int32)
    same = np.array_equal(_to_floats(hundredths).view(np.int64), floats.view(np.int64))
    return hundredths if same else None


def _to_floats(values: np.ndarray) -> np.ndarray:
    return values / 100 if values.dtype == np.int32 else values
