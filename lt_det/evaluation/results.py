"""Results as text and files: tables by group, ``results.json``, ``per_class.csv``."""

import csv
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from lt_det.class_stats import GROUP_NAMES
from lt_det.evaluation.metrics.group_metrics import METRIC_NAMES
from lt_det.pages.text import METHOD_METRICS, TASK_NAMES, format_percent, format_seeds
from lt_det.utils.atomic_file import atomic_text, nan_to_null

TABLE_METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf", "AR")
RESULTS_FILE = "results.json"

Results = Mapping[str, Mapping[str, float]]
"""Task (``"bbox"``, ``"segm"``) -> metric -> percent, as evaluators return them."""


def group_table(results: Results) -> str:
    """Format one evaluation, a row per task.

    Args:
        results: the evaluation; missing and NaN metrics are shown as ``-``.
    """
    rows = [
        [task, *(format_percent(metrics.get(name, math.nan)) for name in TABLE_METRICS)]
        for task, metrics in results.items()
    ]
    return tabulate(rows, headers=("task", *TABLE_METRICS), tablefmt="pipe", stralign="right")


def further_table(results: Results) -> str:
    """Format what an evaluation has beside an official API's metrics, a row per metric.

    Args:
        results: the evaluation; missing and NaN metrics are shown as ``-``.
    """
    names = dict.fromkeys(n for metrics in results.values() for n in metrics)
    rows = [
        [name, *(format_percent(metrics.get(name, math.nan)) for metrics in results.values())]
        for name in names
        if name not in METRIC_NAMES
    ]
    return tabulate(rows, headers=("metric", *results), tablefmt="pipe", stralign="right")


def group_counts_table(groups: np.ndarray, gt_per_class: np.ndarray) -> str:
    """Format how much evidence each group's AP rests on.

    Args:
        groups: group index of each class [K].
        gt_per_class: ground truths that enter AP, per class [K].
    """
    groups, gt_per_class = np.asarray(groups), np.asarray(gt_per_class)
    selections = [(name, groups == g) for g, name in enumerate(GROUP_NAMES)]
    selections.append(("all", np.ones(len(groups), dtype=bool)))
    rows = [
        [name, s.sum(), np.count_nonzero(gt_per_class[s]), gt_per_class[s].sum()]
        for name, s in selections
    ]
    headers = ("group", "classes", "with ground truth", "instances")
    return tabulate(rows, headers=headers, tablefmt="pipe")


def methods_table(
    rows: Mapping[str, Sequence[Results]] | Iterable[tuple[str, Sequence[Results]]],
    metrics: Sequence[str] = METHOD_METRICS,
    tasks: Sequence[str] | None = None,
) -> str:
    """Compare methods in a Markdown table.

    Args:
        rows: method name -> one evaluation per training seed.
        metrics: metrics to show.
        tasks: tasks to show; default those that occur, box first.

    Returns:
        One row per method: the mean over its seeds, and with two seeds or more
        ``± standard deviation`` (of the sample, n - 1). NaN is shown as ``-``.

    Raises:
        ValueError: if a method has no evaluation.
    """
    rows = list(rows.items() if isinstance(rows, Mapping) else rows)
    for name, runs in rows:
        if not runs:
            raise ValueError(f"method '{name}' has no results: give one evaluation per seed.")
    if tasks is None:
        tasks = sorted({task for _, runs in rows for run in runs for task in run})
    columns = [(task, metric) for task in tasks for metric in metrics]
    table = [
        [name, len(runs)]
        + [
            format_seeds([run.get(task, {}).get(metric, math.nan) for run in runs])
            for task, metric in columns
        ]
        for name, runs in rows
    ]
    headers = ["method", "seeds", *(f"{m} {TASK_NAMES.get(t, t)}" for t, m in columns)]
    align = ("left", *("right",) * (len(headers) - 1))
    return tabulate(table, headers=headers, tablefmt="pipe", colalign=align, disable_numparse=True)


def write_results(
    output_dir: str | os.PathLike,
    results: Results,
    per_class: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Write ``results.json`` and ``per_class.csv``, each atomically.

    Args:
        output_dir: folder, created if missing.
        results: the evaluation. JSON knows no NaN: it is written as null.
        per_class: one mapping per class, all with the same keys; NaN and None become empty cells.
            No CSV is written without it.
    """
    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    with atomic_text(output_dir / RESULTS_FILE) as f:
        json.dump(nan_to_null(results), f, indent=2, allow_nan=False)
        f.write("\n")
    if per_class:
        with atomic_text(output_dir / "per_class.csv") as f:
            writer = csv.DictWriter(f, fieldnames=list(per_class[0]))
            writer.writeheader()
            writer.writerows({k: _cell(v) for k, v in row.items()} for row in per_class)


def read_results(path: str | os.PathLike) -> dict[str, dict[str, float]]:
    """Read ``results.json`` back, null as NaN.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not JSON.
    """
    with open(path, encoding="utf-8") as f:
        try:
            results = json.load(f)
        except ValueError as error:
            raise ValueError(f"'{path}' is not a results.json: {error}") from error
    return {
        task: {name: math.nan if v is None else v for name, v in metrics.items()}
        for task, metrics in results.items()
    }


def _cell(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value
