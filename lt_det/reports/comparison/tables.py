"""The tables of a comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lt_det.pages.tables import Cell, Table, percent_cell
from lt_det.pages.text import (
    METHOD_METRICS,
    TASK_NAMES,
    excludes_zero,
    format_difference,
    format_seeds,
)
from lt_det.reports.comparison.content import (
    Comparison,
    Row,
    best_rows,
    class_ap,
    main_control,
    main_task,
    missing_seeds,
    number,
    seed_values,
    stage1_row,
)

__all__ = [
    "class_table",
    "difference_cell",
    "differences_tables",
    "failures_table",
    "scores_cells",
    "scores_table",
    "settings_table",
    "settings_text",
    "value_text",
]


def scores_table(data: Comparison) -> Table:
    """Mean and standard deviation over seeds of each method, stage 1 first."""
    metrics = [(task, metric) for task in data["tasks"] for metric in METHOD_METRICS]
    columns = (
        *("method", "seeds"),
        *(f"{metric} {TASK_NAMES.get(task, task)}" for task, metric in metrics),
        *("train s", "eval s"),
    )
    rows = [_method_cells(data, row, metrics) for row in (stage1_row(data), *data["rows"])]
    note = (
        "Percent: mean ± standard deviation over seeds. Seconds: mean of one seed. "
        f"Stage 1 is `{data['stage1']['weights']}`."
    )
    return Table("Methods", note, columns, rows)


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
    """Settings of each method, and what was chosen of how many trials.

    What most trained methods have in common is in the note alone.
    """
    chosen = (
        f"Chosen by AP on `{data['dev']}`."
        if data["dev"]
        else "No set was named on which hyper-parameters were chosen."
    )
    common = common_settings([row for row in data["rows"] if not row["after"]])
    text = f" Every trained method has {_code(common)}, if nothing else is said." if common else ""
    columns = ("method", "chosen", "trials", "AP of the chosen", "settings")
    rows = [_settings_cells(row, common) for row in data["rows"]]
    return Table(
        "Settings", f"{chosen}{text} Keys are shown by their last two parts.", columns, rows
    )


def failures_table(data: Comparison) -> Table:
    """Rows with an error or with fewer runs than they are to have."""
    rows = [
        [Cell(row["name"]), Cell(_seeds_text(data, row)), Cell(_what_happened(data, row))]
        for row in data["rows"]
        if row["error"] or missing_seeds(data, row)
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
        + [percent_cell(ap[k]) for ap in aps]
        for k, entry in enumerate(data["classes"])
    ]
    columns = ("class", "group", "training images", "training instances", "evaluated instances")
    note = (
        f"{TASK_NAMES.get(task, task).capitalize()} AP, mean over seeds. The best of many methods "
        "is chosen by these very results, which flatters it."
    )
    return Table("Classes", note, (*columns, *names), rows)


def scores_cells(row: Row, metrics: Sequence[tuple[str, str]]) -> list[Cell]:
    """Mean and standard deviation over seeds of each (task, metric); ``-`` where there are none."""
    values = [seed_values(row, task, metric) for task, metric in metrics]
    return [Cell(format_seeds(v), float(np.mean(v))) if v else Cell("-", math.nan) for v in values]


def _method_cells(data: Comparison, row: Row, metrics: Sequence[tuple[str, str]]) -> list[Cell]:
    seconds = [
        [number(run.get(key)) for run in row["runs"]]
        for key in ("train_seconds", "evaluate_seconds")
    ]
    return [
        Cell(row["name"]),
        Cell(_seeds_text(data, row), len(row["runs"])),
        *scores_cells(row, metrics),
        *(_seconds(v) for v in seconds),
    ]


def _seconds(values: Sequence[float]) -> Cell:
    mean = float(np.mean(values)) if values else math.nan
    return Cell("-" if math.isnan(mean) else f"{mean:.1f}", mean)


def _seeds_text(data: Comparison, row: Row) -> str:
    done, missing = len(row["runs"]), len(missing_seeds(data, row))
    if not done and row["error"]:
        return "failed"
    text = f"{done} of {done + missing}" if missing else str(done)
    return f"{text}, failed" if row["error"] else text


def _what_happened(data: Comparison, row: Row) -> str:
    if row["error"]:
        return " ".join(row["error"].split())
    seeds = [str(seed) for seed in missing_seeds(data, row) if seed is not None]
    return f"interrupted: no run{' of seed ' + ', '.join(seeds) if seeds else ''}"


def _difference_rows(data: Comparison, task: str) -> list[list[Cell]]:
    return [
        [Cell(row["name"]), Cell(entry["control"])]
        + [difference_cell(entry[metric]) for metric in METHOD_METRICS]
        for row in data["rows"]
        for entry in row["differences"]
        if entry["task"] == task
    ]


def difference_cell(difference: Mapping[str, float | None]) -> Cell:
    """A difference with its interval, strong where that excludes zero."""
    values = {key: number(value) for key, value in difference.items()}
    return Cell(format_difference(values), values["mean"], excludes_zero(values))


def _settings_cells(row: Row, common: Mapping) -> list[Cell]:
    own = settings_text({k: v for k, v in row["settings"].items() if not _is_in(k, v, common)})
    parts = [f"after {row['after']}" if row["after"] else "", own]
    settings = Cell("; ".join(filter(None, parts)) or "-")
    if row["selection"] is None:
        return [Cell(row["name"]), Cell("-"), Cell("0", 0), Cell("-", math.nan), settings]
    trials, chosen = row["selection"]["trials"], row["selection"]["chosen"]
    ap = next((number(t["AP"]) for t in trials if t["settings"] == chosen), math.nan)
    return [
        Cell(row["name"]),
        Cell(settings_text(chosen)),
        Cell(str(len(trials)), len(trials)),
        percent_cell(ap),
        settings,
    ]


def common_settings(rows: Sequence[Row]) -> dict[str, Any]:
    """The settings that all rows have, with the value of more than half; none of one row."""
    common = {}
    for key in rows[0]["settings"] if len(rows) > 1 else ():
        values = [row["settings"].get(key) for row in rows]
        value = max(values, key=values.count)
        if None not in values and 2 * values.count(value) > len(rows):
            common[key] = value
    return common


def _is_in(key: str, value: Any, settings: Mapping) -> bool:
    return key in settings and settings[key] == value


def _code(settings: Mapping) -> str:
    return ", ".join(f"`{settings_text({key: value})}`" for key, value in settings.items())


def settings_text(settings: Mapping) -> str:
    """Format ``KEY=value, KEY=value``, of a key the last two parts."""
    return ", ".join(
        f"{'.'.join(key.split('.')[-2:])}={value_text(value)}" for key, value in settings.items()
    )


def value_text(value: Any) -> str:
    """Format a config value: texts bare, also within a list; the rest as in a config file."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(value_text, value))}]"
    return str(value)
