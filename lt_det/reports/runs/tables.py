"""The tables of a report on output folders."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from lt_det.class_stats import GROUP_NAMES
from lt_det.pages.tables import Cell, Table, percent_cell
from lt_det.pages.text import (
    METHOD_METRICS,
    TASK_NAMES,
    excludes_zero,
    format_difference,
    format_seeds,
)
from lt_det.reports.runs.methods import Intervals, Method

__all__ = [
    "calibration_table",
    "class_table",
    "confusion_tables",
    "differences_table",
    "groups_table",
    "headline_table",
    "missing_table",
    "results_tables",
    "runs_table",
]

# Of each group.
_NUM_CONFUSIONS = 10
_COUNTS = {
    "train_image_count": "training images",
    "train_instance_count": "training instances",
    "val_instances": "evaluated instances",
}


def results_tables(methods: Sequence[Method]) -> list[Table]:
    """Every metric of ``results.json``: one column a method; of one method, one a task."""
    tasks = list(methods[0].first.results)
    if len(methods) == 1:
        name = "All metrics"
        return [_results_table(name, [(methods[0], t, _task(t)) for t in tasks])]
    return [
        _results_table(f"All metrics, {_task(task)}", [(m, task, m.name) for m in methods])
        for task in tasks
    ]


def groups_table(method: Method) -> Table:
    """How many classes and objects the metrics of each group rest on."""
    groups, rows = method.first.groups, []
    columns = [method.first.column(name) for name in _COUNTS]
    members = [(name, groups == index) for index, name in enumerate(GROUP_NAMES)]
    for name, of_group in [*members, ("all", np.ones(len(groups), dtype=bool))]:
        with_truth = of_group & (method.first.column("val_instances") > 0)
        sums = [math.nan if c is None else float(np.nansum(c[of_group])) for c in columns]
        counts = [of_group.sum(), with_truth.sum(), *sums]
        rows.append([Cell(name), *(_count(float(n)) for n in counts)])
    headers = ("group", "classes", "with ground truth", *_COUNTS.values())
    note = "An image with several classes of a group counts for each of them."
    return Table("Groups", note, headers, rows)


def headline_table(methods: Sequence[Method], task: str, intervals: Intervals | None) -> Table:
    """AP by group of every method, with its interval where there is one."""
    rows = [
        [
            Cell(m.name),
            *(_headline(m, task, metric, intervals) for metric in METHOD_METRICS),
            Cell(str(len(m.runs)), len(m.runs)),
        ]
        for m in methods
    ]
    note = "Mean over seeds; 95% bootstrap intervals over pictures."
    if intervals is None:
        note = "Mean ± standard deviation over seeds."
    columns = ("method", *METHOD_METRICS, "seeds")
    return Table(f"{_task(task).capitalize()} AP", note, columns, rows)


def differences_table(task: str, first: str, intervals: Intervals) -> Table:
    """Every other method minus the first."""
    rows = [
        [Cell(name), *(_difference(of[metric]) for metric in METHOD_METRICS)]
        for name, of in intervals.differences.items()
    ]
    note = f"Minus {first}, on the same pictures; 95% bootstrap intervals. Bold: excludes 0."
    title = f"Paired differences, {_task(task)} AP"
    return Table(title, note, ("method", *METHOD_METRICS), rows)


def calibration_table(methods: Sequence[Method], task: str) -> Table:
    """Expected calibration error by group, of each method's first run."""
    errors = {m.name: m.first.diagnostics.get(task, {}).get("calibration", {}) for m in methods}
    groups = list(dict.fromkeys(group for of in errors.values() for group in of))
    rows = [
        [Cell(group), *(_number(of.get(group, {}).get("ece")) for of in errors.values())]
        for group in groups
    ]
    note = "Expected calibration error: |precision - confidence|, weighed by detections."
    return Table(f"Calibration, {_task(task)}", note, ("group", *errors), rows)


def confusion_tables(methods: Sequence[Method], task: str) -> list[Table]:
    """What objects of a class were taken for, the first pairs of each group as the file has them.

    Of each method's first run.
    """
    headers = ("class", "group", "taken for", "group of that", "count", "share")
    tables = []
    for method in methods:
        entries = method.first.diagnostics.get(task, {}).get("confusion", [])
        of_group = Counter()
        rows = []
        for entry in entries:
            of_group[entry.get("group")] += 1
            if of_group[entry.get("group")] <= _NUM_CONFUSIONS:
                rows.append(_confusion_cells(entry))
        more = len(entries) - len(rows)
        note = "Share: of the objects of the class."
        note += f" {more} more pairs are in `diagnostics.json`." if more else ""
        name = f", {method.name}" if len(methods) > 1 else ""
        tables.append(Table(f"Confused classes{name}, {_task(task)}", note, headers, rows))
    return tables


def class_table(methods: Sequence[Method], task: str) -> Table:
    """All that is known of each class: of one method everything, of several their AP."""
    rows = methods[0].first.rows
    columns = {title: methods[0].mean(name) for name, title in _COUNTS.items()}
    for method in methods:
        columns |= _one_method(method) if len(methods) == 1 else _one_of_many(method, task)
    columns = {title: values for title, values in columns.items() if values is not None}
    counts = set(_COUNTS.values())
    cells = [
        [
            Cell(row["name"]),
            Cell(row["group"] or "-"),
            *((_count if t in counts else _number)(float(v[k])) for t, v in columns.items()),
        ]
        for k, row in enumerate(rows)
    ]
    what = "mean over seeds" if any(len(m.runs) > 1 for m in methods) else ""
    ap = f"{_task(task).capitalize()} AP" if len(methods) > 1 else "AP in percent"
    note = ", ".join(filter(None, [ap, what])) + "; - is no ground truth."
    return Table("Classes", note, ("class", "group", *columns), cells)


def _confusion_cells(entry: Mapping) -> list[Cell]:
    texts = (entry["class"], entry.get("group"), entry["into"], entry.get("into_group"))
    return [
        *(Cell(text or "-") for text in texts),
        _count(float(entry["count"])),
        _number(entry.get("share")),
    ]


def runs_table(methods: Sequence[Method]) -> Table:
    """The folders of each method."""
    rows = [[Cell(method.name), Cell(str(run.path))] for method in methods for run in method.runs]
    return Table("Folders", "", ("method", "folder"), rows)


def missing_table(missing: Sequence[tuple[str, Sequence[str]]]) -> Table:
    """What is not shown, and of which methods."""
    rows = [[Cell(what), Cell(", ".join(of))] for what, of in missing]
    return Table("What is not shown", "Files that hold it are missing.", ("what", "of"), rows)


def _one_method(method: Method) -> dict[str, np.ndarray | None]:
    of_tasks = {
        f"{metric} {_task(task)}": method.mean(f"{task}_{metric}")
        for task in method.first.results
        for metric in ("AP", "AP50", "AR")
    }
    sums = method.first.gradient_sums
    return of_tasks | {
        "weight norm": method.mean("weight_norms"),
        "learned rate": method.mean("class_rates"),
        "gradient ratio": None if sums is None else sums.ratio()[-1],
    }


def _one_of_many(method: Method, task: str) -> dict[str, np.ndarray | None]:
    return {method.name: method.mean(f"{task}_AP")}


def _results_table(title: str, columns: Sequence[tuple[Method, str, str]]) -> Table:
    metrics = dict.fromkeys(
        metric
        for method, task, _ in columns
        for metric, value in method.first.results[task].items()
        if isinstance(value, (int, float))
    )
    rows = [
        [Cell(metric), *(_seeds(method.values(task, metric)) for method, task, _ in columns)]
        for metric in metrics
    ]
    seeds = {name: len(method.runs) for method, _, name in columns}
    counts = ", ".join(f"{name} {number}" for name, number in seeds.items())
    several = (
        f" Mean ± standard deviation over seeds ({counts})." if max(seeds.values()) > 1 else ""
    )
    note = f"AP and AR in percent, as in `results.json`; - is no ground truth.{several}"
    return Table(title, note, ("metric", *(name for _, _, name in columns)), rows)


def _task(task: str) -> str:
    return TASK_NAMES.get(task, task)


def _seeds(values: Sequence[float]) -> Cell:
    return Cell(format_seeds(values), float(np.mean(values)))


def _headline(method: Method, task: str, metric: str, intervals: Intervals | None) -> Cell:
    of = intervals.own[method.name][metric] if intervals else None
    if of is None or math.isnan(of["mean"]):
        return _seeds(method.values(task, metric))
    return Cell(f"{of['mean']:.1f} [{of['lo']:.1f}, {of['hi']:.1f}]", of["mean"])


def _difference(of: dict[str, float]) -> Cell:
    return Cell(format_difference(of), of["mean"], excludes_zero(of))


def _count(value: float) -> Cell:
    return Cell("-" if math.isnan(value) else f"{value:.0f}", value)


def _number(value: float | None) -> Cell:
    """Percentages and shares alike: two digits, more where the first ones are zeros."""
    value = math.nan if value is None else float(value)
    if 0 < abs(value) < 0.1:
        return Cell(f"{value:.2g}", value)
    return percent_cell(value)
