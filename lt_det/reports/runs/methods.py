"""Evaluated runs as methods, a method being the runs of one name: its training seeds."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lt_det.evaluation.metrics.bootstrap import (
    difference_of_replicates,
    interval_of_replicates,
    replicate_metrics,
)
from lt_det.reports.runs.folder import RunFolder

__all__ = ["Intervals", "Method", "bootstrap_methods", "group_runs", "main_task", "short_names"]


@dataclass(frozen=True)
class Method:
    """The runs of one name.

    Attributes:
        name: as tables and plots show it.
        runs: a run for each seed.
    """

    name: str
    runs: Sequence[RunFolder]

    @property
    def first(self) -> RunFolder:
        """The run whose detections, scores and pictures are shown."""
        return self.runs[0]

    def values(self, task: str, metric: str) -> list[float]:
        """A metric of each run; NaN where it is absent."""
        return [run.results.get(task, {}).get(metric, math.nan) for run in self.runs]

    def mean(self, name: str) -> np.ndarray | None:
        """A number of each class, averaged over the runs [K]; None if one of them lacks it.

        Args:
            name: a column of ``per_class.csv``, or ``weight_norms`` or ``class_rates``.
        """
        is_column = name not in ("weight_norms", "class_rates")
        values = [run.column(name) if is_column else getattr(run, name) for run in self.runs]
        return None if any(v is None for v in values) else np.mean(values, axis=0)


@dataclass(frozen=True)
class Intervals:
    """A bootstrap over pictures of one task.

    Attributes:
        own: method -> metric -> ``{"mean", "lo", "hi"}``.
        differences: the same of each other method minus the first.
    """

    own: dict[str, dict[str, dict[str, float]]]
    differences: dict[str, dict[str, dict[str, float]]]


def short_names(paths: Sequence[str | os.PathLike]) -> list[str]:
    """Name folders by their last parts, as many as tell all of them apart."""
    parts = [Path(path).resolve().parts for path in paths]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(p[-length:]) for p in parts]
        if len(set(names)) == len(set(parts)):
            break
    return names


def group_runs(runs: Sequence[RunFolder], names: Sequence[str] | None = None) -> list[Method]:
    """Make methods of runs on one data set.

    Args:
        runs: at least one.
        names: of each run; equal names are seeds of one method. By default each run is a method.

    Raises:
        ValueError: if there is not one name a run, a run is given twice, or two are of other
            classes, groups or tasks.
    """
    folders = [run.evaluation.resolve() for run in runs]
    twice = [str(run.path) for run, f in zip(runs, folders, strict=True) if folders.count(f) > 1]
    if twice:
        raise ValueError(f"a folder is given twice: {' and '.join(twice)}.")
    names = short_names([run.path for run in runs]) if names is None else list(names)
    if len(names) != len(runs):
        raise ValueError(
            f"--names has {len(names)} names for {len(runs)} folders: give one a folder, equal "
            "ones to seeds of one method."
        )
    for run in runs[1:]:
        _check_comparable(runs[0], run)
    return [
        Method(name, [r for r, of in zip(runs, names, strict=True) if of == name])
        for name in dict.fromkeys(names)
    ]


def main_task(methods: Sequence[Method]) -> str:
    """The task that is drawn: masks, if all have them."""
    return "segm" if "segm" in methods[0].first.results else next(iter(methods[0].first.results))


def bootstrap_methods(
    methods: Sequence[Method], task: str, num_replicates: int
) -> Intervals | None:
    """Bootstrap every method's AP over pictures, and its difference to the first.

    Returns:
        None without replicates, or where a run lacks ``per_class.csv`` or its matches.

    Raises:
        ValueError: if the runs are on other pictures.
    """
    values, pictures = {}, None
    for method in methods if num_replicates else ():
        values[method.name] = []
        for run in method.runs:
            matches = run.matches(task)
            if matches is None or not run.rows:
                return None
            pictures = matches.image_ids if pictures is None else pictures
            if not np.array_equal(pictures, matches.image_ids):
                raise ValueError(
                    f"{run.path} and {methods[0].first.path} were evaluated on other pictures: "
                    "evaluate both on one data set."
                )
            values[method.name].append(replicate_metrics(matches, run.groups, num_replicates))
    if not values:
        return None
    first, *others = values
    return Intervals(
        {name: interval_of_replicates(v) for name, v in values.items()},
        {name: difference_of_replicates(values[name], values[first]) for name in others},
    )


def _check_comparable(first: RunFolder, other: RunFolder) -> None:
    if set(first.results) != set(other.results):
        raise ValueError(
            f"{first.path} has results of {sorted(first.results)}, {other.path} of "
            f"{sorted(other.results)}: report on runs with the same tasks."
        )
    if not (first.rows and other.rows):
        return
    keys = ("category_id", "name", "group")
    ours, theirs = ([tuple(r[k] for k in keys) for r in run.rows] for run in (first, other))
    if ours == theirs:
        return
    example = next((a, b) for a, b in zip([*ours, None], [*theirs, None], strict=False) if a != b)
    raise ValueError(
        f"{first.path} and {other.path} are of different classes ({len(ours)} and {len(theirs)}; "
        f"the first that differs is {example[0]} and {example[1]}, as category id, name, group): "
        "report on runs of one data set."
    )
