"""The tables of a comparison: cells with their values, for Markdown and for a page that sorts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from tabulate import tabulate

from lt_det.evaluation.comparison import (
    Comparison,
    Row,
    best_rows,
    class_ap,
    main_control,
    main_task,
    number,
    seed_values,
    stage1_row,
)
from lt_det.evaluation.report import METHOD_METRICS, TASK_NAMES, format_percent, format_seeds
from lt_det.evaluation.study_report import excludes_zero, format_difference

__all__ = [
    "Cell",
    "Table",
    "class_table",
    "differences_tables",
    "failures_table",
    "markdown_table",
    "scores_table",
    "settings_table",
    "value_text",
]


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


def scores_table(data: Comparison) -> Table:
    """Mean and standard deviation over seeds of each method, stage 1 first."""
    metrics = [(task, metric) for task in data["tasks"] for metric in METHOD_METRICS]
    columns = (
        *("method", "seeds"),
        *(f"{metric} {TASK_NAMES.get(task, task)}" for task, metric in metrics),
        *("train s", "eval s"),
    )
    rows = [_method_cells(row, len(data["seeds"]), metrics) for row in data["rows"]]
    stage1 = _method_cells(stage1_row(data), 1, metrics)
    note = (
        "Percent: mean ± standard deviation over seeds. Seconds: mean of one seed. "
        f"Stage 1 is `{data['stage1']['weights']}`."
    )
    return Table("Methods", note, columns, [stage1, *rows])


def differences_tables(data: Comparison) -> list[Table]:
    """The differences to the controls, a table per task that has any."""
    note = (
        "Method minus control on the same pictures and seeds, with 95% bootstrap intervals over "
        "pictures. Bold: the interval excludes 0."
    )
    return [
        Table(
            f"Paired differences, {TASK_NAMES.get(task, task)} AP",
            note,
            ("method", "minus", *METHOD_METRICS),
            rows,
        )
        for task in data["tasks"]
        if (rows := _difference_rows(data, task))
    ]


def settings_table(data: Comparison) -> Table:
    """Settings of each method, and what was chosen of how many trials."""
    note = (
        f"Chosen by AP on `{data['dev']}`."
        if data["dev"]
        else "No set was named on which hyper-parameters were chosen."
    )
    columns = ("method", "chosen", "trials", "AP of the chosen", "settings")
    return Table("Settings", note, columns, [_settings_cells(row) for row in data["rows"]])


def failures_table(data: Comparison) -> Table:
    """Rows with an error or with fewer runs than seeds."""
    rows = [
        [
            Cell(row["name"]),
            Cell(_seeds_text(row, len(data["seeds"]))),
            Cell(_what_happened(row, data)),
        ]
        for row in data["rows"]
        if row["error"] or len(row["runs"]) < len(data["seeds"])
    ]
    return Table("Failed and unfinished", "", ("method", "seeds", "what happened"), rows)


def class_table(data: Comparison) -> Table:
    """AP of each class: stage 1, the main control, and the best row of each group."""
    task, control = main_task(data), main_control(data)
    shown = {stage1_row(data)["name"]: (stage1_row(data), [])}
    shown[control["name"]] = (control, [])
    for metric, row in best_rows(data).items():
        shown.setdefault(row["name"], (row, []))[1].append(metric)
    counts = ("train_image_count", "train_instance_count", "val_instances")
    names = [f"{name} (best {', '.join(of)})" if of else name for name, (_, of) in shown.items()]
    aps = [class_ap(row, task) for row, _ in shown.values()]
    rows = [
        [Cell(entry["name"]), Cell(entry["group"] or "-")]
        + [Cell(str(entry[key]), entry[key]) for key in counts]
        + [_percent(ap[k]) for ap in aps]
        for k, entry in enumerate(data["classes"])
    ]
    columns = ("class", "group", "training images", "training instances", "evaluated instances")
    note = (
        f"{TASK_NAMES.get(task, task).capitalize()} AP, mean over seeds. The best of many methods "
        "is chosen by these very results, which flatters it."
    )
    return Table("Classes", note, (*columns, *names), rows)


def _method_cells(row: Row, num_seeds: int, metrics: Sequence[tuple[str, str]]) -> list[Cell]:
    values = [seed_values(row, task, metric) for task, metric in metrics]
    seconds = [
        [number(run.get(key)) for run in row["runs"]]
        for key in ("train_seconds", "evaluate_seconds")
    ]
    return [
        Cell(row["name"]),
        Cell(_seeds_text(row, num_seeds), len(row["runs"])),
        *(Cell(format_seeds(v), float(np.mean(v))) if v else Cell("-", math.nan) for v in values),
        *(_seconds(v) for v in seconds),
    ]


def _seconds(values: Sequence[float]) -> Cell:
    mean = float(np.mean(values)) if values else math.nan
    return Cell("-" if math.isnan(mean) else f"{mean:.1f}", mean)


def _percent(value: float) -> Cell:
    return Cell(format_percent(value), float(value))


def _seeds_text(row: Row, num_seeds: int) -> str:
    done = len(row["runs"])
    if not done and row["error"]:
        return "failed"
    text = str(done) if done == num_seeds else f"{done} of {num_seeds}"
    return f"{text}, failed" if row["error"] else text


def _what_happened(row: Row, data: Comparison) -> str:
    if row["error"]:
        return " ".join(row["error"].split())
    done = {run["seed"] for run in row["runs"]}
    missing = [str(seed) for seed in data["seeds"] if seed not in done]
    return f"interrupted: no run of seed {', '.join(missing)}"


def _difference_rows(data: Comparison, task: str) -> list[list[Cell]]:
    return [
        [Cell(row["name"]), Cell(entry["control"])]
        + [_difference_cell(entry[metric]) for metric in METHOD_METRICS]
        for row in data["rows"]
        for entry in row["differences"]
        if entry["task"] == task
    ]


def _difference_cell(difference: Mapping[str, float | None]) -> Cell:
    values = {key: number(value) for key, value in difference.items()}
    return Cell(format_difference(values), values["mean"], excludes_zero(values))


def _settings_cells(row: Row) -> list[Cell]:
    settings = Cell(settings_text(row["settings"]))
    if row["selection"] is None:
        return [Cell(row["name"]), Cell("-"), Cell("0", 0), Cell("-", math.nan), settings]
    trials, chosen = row["selection"]["trials"], row["selection"]["chosen"]
    ap = next((number(t["AP"]) for t in trials if t["settings"] == chosen), math.nan)
    return [
        Cell(row["name"]),
        Cell(settings_text(chosen)),
        Cell(str(len(trials)), len(trials)),
        _percent(ap),
        settings,
    ]


def settings_text(settings: Mapping) -> str:
    """Format ``KEY=value, KEY=value``."""
    return ", ".join(f"{key}={value_text(value)}" for key, value in settings.items())


def value_text(value) -> str:
    """Format a config value: strings bare, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _escape(text: str) -> str:
    """Markdown that shows exactly this text, in one cell of a table."""
    for character in "\\|*`":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").split())
