"""Describe what is wrong with a data file, and list many faults in one table."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from tabulate import tabulate

__all__ = ["Fault", "format_faults", "refuse_faults"]

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
