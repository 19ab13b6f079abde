"""Tables of reports: cells with their values, for Markdown and for a page that sorts."""

from __future__ import annotations

from typing import NamedTuple

from tabulate import tabulate

from lt_det.pages.text import format_percent

__all__ = ["Cell", "Table", "markdown_table", "percent_cell"]


class Cell(NamedTuple):
    """One cell: what is shown, and the number it is sorted by (None: by its text)."""

    text: str
    value: float | None = None
    strong: bool = False


class Table(NamedTuple):
    """A table whose first column names its rows."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: list[list[Cell]]

    @property
    def numeric(self) -> list[bool]:
        """Say of each column whether it holds numbers."""
        columns = range(len(self.columns))
        return [any(row[i].value is not None for row in self.rows) for i in columns]


def markdown_table(table: Table) -> str:
    """Format as Markdown, every cell's text escaped."""
    rows = [
        [f"**{_escape(c.text)}**" if c.strong else _escape(c.text) for c in row]
        for row in table.rows
    ]
    align = ["right" if n else "left" for n in table.numeric]
    return tabulate(rows, table.columns, tablefmt="pipe", colalign=align, disable_numparse=True)


def percent_cell(value: float) -> Cell:
    """A cell of two digits, ``-`` for NaN."""
    return Cell(format_percent(value), float(value))


def _escape(text: str) -> str:
    """Markdown that shows exactly this text, in one cell of a table."""
    for character in "\\|*`":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").split())
