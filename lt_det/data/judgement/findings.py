"""Collect faults and notes while a file is judged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tabulate import tabulate

from lt_det.data.judgement.fault import Fault

__all__ = ["LEFT_OUT", "Findings", "Note", "describe_notes", "format_notes"]

LEFT_OUT = "object left out"
"""How the kinds of notes about objects that are not in the judged file begin."""

_NUM_EXAMPLES = 3


class Note(NamedTuple):
    """Something odd that was read in the one safe way there is.

    Attributes:
        kind: what was odd and how it was read.
        number: how many entries are of this kind.
        examples: the first of them.
    """

    kind: str
    number: int
    examples: tuple[str, ...]


class Findings:
    """Collects what is found; a fault has no safe reading, a note has one.

    Attributes:
        faults: all faults, in the order in which they were found.
    """

    def __init__(self):
        self.faults: list[Fault] = []
        self._numbers: dict[str, int] = {}
        self._examples: dict[str, list[str]] = {}

    def fault(self, kind: str, where: str) -> None:
        """Add a fault."""
        self.faults.append(Fault(kind, where))

    def note(self, kind: str, where: str, number: int = 1) -> None:
        """Add a note about `number` entries, with one of them as an example."""
        self._numbers[kind] = self._numbers.get(kind, 0) + number
        examples = self._examples.setdefault(kind, [])
        if len(examples) < _NUM_EXAMPLES:
            examples.append(where)

    @property
    def notes(self) -> list[Note]:
        """All notes, one a kind."""
        return [Note(k, n, tuple(self._examples[k])) for k, n in self._numbers.items()]


def format_notes(notes: Iterable[Note]) -> str:
    """Write a table of notes; "" without any."""
    rows = [[note.kind, note.number, "; ".join(note.examples)] for note in notes]
    return tabulate(rows, ("note", "number", "such as"), tablefmt="pipe") if rows else ""


def describe_notes(notes: Iterable[Note]) -> str:
    """Write notes in one line, for a log."""
    return "; ".join(f"{note.kind} ({note.number}, such as {note.examples[0]})" for note in notes)
