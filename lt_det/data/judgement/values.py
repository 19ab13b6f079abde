"""Decide what counts as a number, a whole number and text in a JSON file."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Sequence
from typing import Any

__all__ = [
    "LARGEST_AREA",
    "LARGEST_ID",
    "MISSING",
    "SMALLEST_ID",
    "decimal",
    "is_id",
    "is_number",
    "is_positive",
    "values_of",
    "whole",
]

SMALLEST_ID, LARGEST_ID = -(2**63), 2**63 - 1
"""The ids that the official APIs and NumPy can hold."""

LARGEST_AREA = 1e10
"""Pixels; the official APIs ignore larger objects."""

MISSING: Any = object()
"""Stands for a key that an entry lacks."""

_PLAIN_DECIMAL = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")


def values_of(entries: Sequence[dict], key: str) -> list:
    """Give the value of a key in every entry, `MISSING` where it has none."""
    try:
        return list(map(operator.itemgetter(key), entries))
    except KeyError:
        return [entry.get(key, MISSING) for entry in entries]


def is_id(value: Any) -> bool:
    """Tell whether a value can be an id: an integer, or text."""
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Tell whether a value is a finite number that float64 can hold."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def is_positive(value: Any) -> bool:
    """Tell whether a value is a finite number above 0."""
    return is_number(value) and value > 0


def whole(value: Any) -> int | None:
    """Give the integer that an integer or a whole decimal such as 1.0 stands for; else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, float) and value.is_integer() else None


def decimal(value: Any) -> float | None:
    """Give the finite number that a number or a plain decimal in text stands for; else None."""
    if isinstance(value, str):
        text = value.strip()
        if not _PLAIN_DECIMAL.fullmatch(text):
            return None
        value = float(text) if "." in text or len(text) > 15 else int(text)
    return value if is_number(value) else None
