"""One fault of a data file, a table of many, and what counts as a number or an id."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from tabulate import tabulate

__all__ = ["Fault", "format_faults", "is_id", "is_number", "is_positive", "refuse_faults"]

_NUM_EXAMPLES = 3


class Fault(NamedTuple):
    """One thing that is wrong.

    Attributes:
        kind: what is wrong, the same words for all faults of the kind.
        where: which entry, with its value.
    """

    kind: str
    where: str


def format_faults(faults: Iterable[Fault]) -> str:
    """A table of kinds with their number and the first examples; "" without faults."""
    examples: dict[str, list[str]] = {}
    number = Counter()
    for fault in faults:
        number[fault.kind] += 1
        if number[fault.kind] <= _NUM_EXAMPLES:
            examples.setdefault(fault.kind, []).append(fault.where)
    rows = [[kind, number[kind], "; ".join(where)] for kind, where in examples.items()]
    return tabulate(rows, ("fault", "number", "such as"), tablefmt="pipe") if rows else ""


def refuse_faults(faults: Iterable[Fault], path: str | os.PathLike) -> None:
    """Do nothing without faults.

    Raises:
        ValueError: naming the file, with a table of all faults.
    """
    faults = list(faults)
    if faults:
        raise ValueError(
            f"{path} has {len(faults)} fault{'s' if len(faults) > 1 else ''}:\n\n"
            f"{format_faults(faults)}"
        )


def is_id(value: Any) -> bool:
    """Whether a value can be an id: an integer, or text."""
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_positive(value: Any) -> bool:
    """Whether a value is a finite number above 0."""
    return is_number(value) and value > 0
