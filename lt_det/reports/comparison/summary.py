"""A comparison in one table: what a reader looks at first, and what documents quote."""

from __future__ import annotations

import math

from lt_det.pages.tables import Cell, Table
from lt_det.pages.text import METHOD_METRICS, TASK_NAMES
from lt_det.reports.comparison.content import Comparison, Row, main_task, stage1_row
from lt_det.reports.comparison.tables import difference_cell, scores_cells, settings_text

__all__ = ["summary_table"]

_COMPARED = ("AP", "APr")


def summary_table(data: Comparison) -> Table:
    """AP of the main task, the difference to the first control, the choice; stage 1 first."""
    task = main_task(data)
    rows = [
        [
            Cell(row["name"]),
            *scores_cells(row, [(task, metric) for metric in METHOD_METRICS]),
            *_against_control(row, task),
            Cell(_chosen(row)),
        ]
        for row in (stage1_row(data), *data["rows"])
    ]
    note = (
        f"Percent of {TASK_NAMES.get(task, task)} AP: mean ± standard deviation over seeds; the "
        "difference to the first control on the same pictures and seeds, with a 95% bootstrap "
        "interval over pictures. Bold: the interval excludes 0. Everything else is below."
    )
    compared = (f"{metric} minus control" for metric in _COMPARED)
    return Table("Summary", note, ("method", *METHOD_METRICS, *compared, "control", "chosen"), rows)


def _chosen(row: Row) -> str:
    selection = row.get("selection")
    return settings_text(selection["chosen"]) if selection else "-"


def _against_control(row: Row, task: str) -> list[Cell]:
    entries = {
        entry["control"]: entry for entry in row.get("differences", ()) if entry["task"] == task
    }
    control = next((name for name in row["controls"] if name in entries), None)
    if control is None:
        return [*(Cell("-", math.nan) for _ in _COMPARED), Cell("-")]
    return [*(difference_cell(entries[control][metric]) for metric in _COMPARED), Cell(control)]
