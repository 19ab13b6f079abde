"""A comparison of methods, as ``tools/compare.py`` stores it in ``compare.json``.

The file's content stays a dictionary; the functions here read it. A *row* is one method::

    {"name", "controls": [names of rows, or "stage 1"], "settings": {key: value},
     "after": what a post-hoc row starts from, "stage 1" or a row; "" if it trains,
     "selection": {"trials": [{"settings", "AP", "APr", "APc", "APf"}], "chosen": {}} or None,
     "runs": [{"seed", "train_seconds", "evaluate_seconds", "results": {task: {metric: percent}},
               "per_class": {task: [percent] * K}, "weight_norms": [K] or None}],
     "differences": [{"control", "task", metric: {"mean", "lo", "hi"}}], "error": None or text}

A row has a run for each seed; one that starts from stage 1 draws nothing and has one, of seed null.
A row that failed has an error, one that was interrupted has fewer runs. NaN is null.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = [
    "best_rows",
    "check_comparison",
    "class_ap",
    "class_counts",
    "finished_rows",
    "is_control",
    "main_control",
    "main_task",
    "missing_seeds",
    "number",
    "reference",
    "seed_values",
    "stage1_row",
    "weight_norms",
]

Comparison = Mapping[str, Any]
Row = Mapping[str, Any]

STAGE1_NAME = "stage 1"
GROUP_METRICS = ("APr", "APc", "APf")

_KEYS = (
    *("title", "notes", "seeds", "tasks", "dev"),
    *("stage1", "classes", "stage1_weight_norms", "rows"),
)
_ROW_KEYS = (
    *("name", "controls", "after", "settings"),
    *("selection", "runs", "differences", "error"),
)


def check_comparison(data: Comparison) -> None:
    """Check what every reader relies on.

    Raises:
        ValueError: if a key is missing, no task is given, two rows have one name, or a run has not
            one value for each class and task.
    """
    _check_keys(data, _KEYS, "the comparison")
    if not data["tasks"]:
        raise ValueError("the comparison's 'tasks' is empty: give at least one of bbox, segm.")
    for row in data["rows"]:
        _check_keys(row, _ROW_KEYS, f"row {row.get('name', '?')!r}")
    names = [row["name"] for row in data["rows"]]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{names.count(name)} rows are named {name!r}: rename all but one.")
    for row in (stage1_row(data), *data["rows"]):
        _check_lengths(row, data["tasks"], len(data["classes"]))


def number(value: float | None) -> float:
    """Return a float, null as NaN."""
    return math.nan if value is None else float(value)


def main_task(data: Comparison) -> str:
    """Return the task that is drawn: masks, if they were evaluated."""
    return "segm" if "segm" in data["tasks"] else data["tasks"][-1]


def stage1_row(data: Comparison) -> Row:
    """Return the stage-1 detector as a row of one run."""
    stage1 = data["stage1"]
    run = {key: stage1[key] for key in ("results", "per_class")}
    run |= {"seed": None, "weight_norms": data["stage1_weight_norms"]}
    return {"name": STAGE1_NAME, "controls": [], "after": STAGE1_NAME, "runs": [run], "error": None}


def missing_seeds(data: Comparison, row: Row) -> list[int | None]:
    """Return the seeds of which a row has no run yet; None is the one run without a seed."""
    seeds = [None] if row["after"] == STAGE1_NAME else data["seeds"]
    done = {run["seed"] for run in row["runs"]}
    return [seed for seed in seeds if seed not in done]


def finished_rows(data: Comparison) -> list[Row]:
    """Return the rows with a run or more."""
    return [row for row in data["rows"] if row["runs"]]


def is_control(data: Comparison, row: Row) -> bool:
    """Say whether another row is compared with this one."""
    return any(row["name"] in other["controls"] for other in data["rows"])


def main_control(data: Comparison) -> Row:
    """Return the row most others are compared with; stage 1 if there is none with runs."""
    named = [name for row in data["rows"] for name in row["controls"]]
    rows = [row for row in _with_stage1(data) if row["name"] in named]
    return max(rows, key=lambda row: named.count(row["name"]), default=stage1_row(data))


def reference(data: Comparison, row: Row) -> Row:
    """Return the first of a row's controls that has runs; stage 1 if there is none."""
    rows = {other["name"]: other for other in _with_stage1(data)}
    return next((rows[name] for name in row["controls"] if name in rows), stage1_row(data))


def _with_stage1(data: Comparison) -> list[Row]:
    return [*finished_rows(data), stage1_row(data)]


def best_rows(data: Comparison) -> dict[str, Row]:
    """Return ``"APr"``, ``"APc"``, ``"APf"`` -> the row with the highest mean.

    The main control is no candidate, nor is a row without that metric. These are the results on
    the pictures of the tables: the best of many rows is flattered by them.
    """
    control, task, best = main_control(data)["name"], main_task(data), {}
    for metric in GROUP_METRICS:
        means = {
            row["name"]: float(np.mean(seed_values(row, task, metric)))
            for row in finished_rows(data)
            if row["name"] != control
        }
        rows = [
            row for row in finished_rows(data) if not math.isnan(means.get(row["name"], math.nan))
        ]
        if rows:
            best[metric] = max(rows, key=lambda row: means[row["name"]])
    return best


def seed_values(row: Row, task: str, metric: str) -> list[float]:
    """Return a metric of each run in percent; NaN where it is absent."""
    return [number(run["results"].get(task, {}).get(metric)) for run in row["runs"]]


def class_ap(row: Row, task: str) -> np.ndarray:
    """Return AP of each class in percent (K,), averaged over runs; NaN without ground truth."""
    return np.mean(_arrays(run["per_class"][task] for run in row["runs"]), axis=0)


def weight_norms(row: Row) -> np.ndarray | None:
    """Return the norm of each class's weight (K,), averaged over runs; None if not stored."""
    stored = [run["weight_norms"] for run in row["runs"] if run["weight_norms"] is not None]
    return np.mean(_arrays(stored), axis=0) if stored else None


def class_counts(data: Comparison, key: str = "train_image_count") -> np.ndarray:
    """Return a count of each class (K,)."""
    return np.array([entry[key] for entry in data["classes"]], dtype=int)


def _arrays(lists) -> np.ndarray:
    return np.array([[number(value) for value in values] for values in lists])


def _check_keys(mapping: Mapping, keys: Sequence[str], where: str) -> None:
    missing = [key for key in keys if key not in mapping]
    if missing:
        raise ValueError(
            f"{where} lacks {missing}: write it with tools/compare.py of this version."
        )


def _check_lengths(row: Row, tasks: Sequence[str], num_classes: int) -> None:
    for run in row["runs"]:
        _check_keys(run["per_class"], tasks, f"row {row['name']!r}: per_class")
        stored = {f"per_class[{task!r}]": values for task, values in run["per_class"].items()}
        if run["weight_norms"] is not None:
            stored["weight_norms"] = run["weight_norms"]
        for name, values in stored.items():
            if len(values) != num_classes:
                raise ValueError(
                    f"row {row['name']!r}: {name} holds {len(values)} values for the "
                    f"{num_classes} classes of 'classes'; expected one for each."
                )
