"""``compare.json``: everything that a comparison found, as plain values."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lt_det.compare.rows import STAGE1, Comparison, Row
from lt_det.compare.runs import (
    MODEL,
    NO_SEED,
    Run,
    Workbench,
    replicates_file,
    run_folder,
    stage1_run,
)
from lt_det.evaluation.metrics.bootstrap import difference_of_replicates
from lt_det.evaluation.results import read_results
from lt_det.reports.runs.weight_norms import weight_norms
from lt_det.utils.atomic_file import atomic_text

__all__ = ["best_run", "collect", "runs_of", "write_comparison"]

_TASKS = ("bbox", "segm")
_COUNTS = ("train_image_count", "train_instance_count", "val_instances")


def runs_of(comparison: Comparison, row: Row) -> list[Run]:
    """The runs of a row: one a seed, or one if nothing in it is random."""
    return [Run(row, seed) for seed in ([None] if row.after == STAGE1 else comparison.seeds)]


def collect(
    bench: Workbench,
    comparison: Comparison,
    dataset_name: str,
    errors: Mapping[str, str],
    notes: Sequence[str],
) -> dict:
    """What ``lt_det.reports.comparison.content`` describes, of the runs that are evaluated.

    Args:
        bench: whose output folder holds the runs.
        comparison: rows and seeds.
        dataset_name: the test set.
        errors: row name -> what it failed by.
        notes: command, commit, machine.
    """
    first = bench.results_folder(stage1_run(), dataset_name)
    classes = _per_class(first)
    tasks = [task for task in _TASKS if task in read_results(first / "results.json")]
    done = {
        row.name: [r for r in runs_of(comparison, row) if bench.is_evaluated(r, dataset_name)]
        for row in comparison.rows
    }
    folders = {
        name: [bench.results_folder(run, dataset_name) for run in runs]
        for name, runs in done.items()
    }
    folders[STAGE1] = [first]
    return {
        "title": dataset_name,
        "notes": list(notes),
        "seeds": list(comparison.seeds),
        "tasks": tasks,
        "dev": bench.dev or None,
        "stage1": {"weights": bench.cfg.MODEL.WEIGHTS, **_scores(first, tasks)},
        "classes": [
            {
                "name": row["name"],
                "group": row["group"],
                # Empty for a category that is not the detector's.
                **{key: round(float(row[key] or 0)) for key in _COUNTS},
            }
            for row in classes
        ],
        "stage1_weight_norms": _norms(
            run_folder(bench.output_dir, stage1_run()) / MODEL, len(classes)
        ),
        "rows": [
            {
                "name": row.name,
                "controls": list(row.controls),
                "after": row.after,
                "settings": dict(row.settings),
                "selection": bench.chosen(row),
                "runs": [_run(bench, run, dataset_name, tasks) for run in done[row.name]],
                "differences": _differences(row, folders, tasks),
                "error": errors.get(row.name),
            }
            for row in comparison.rows
        ],
    }


def write_comparison(path: str | Path, data: Mapping) -> None:
    """Write ``compare.json``, not a number as null."""
    with atomic_text(path) as file:
        json.dump(_plain(data), file, indent=1, allow_nan=False)


def best_run(output_dir: str | Path) -> Path:
    """Folder of the first run of the method with the highest mean AP, of masks if there are any.

    Raises:
        ValueError: if no method was evaluated.
    """
    data = json.loads((Path(output_dir) / "compare.json").read_text())
    task = data["tasks"][-1]
    ap = {
        row["name"]: np.mean([run["results"][task]["AP"] for run in row["runs"]])
        for row in data["rows"]
        if row["runs"]
    }
    if not ap:
        raise ValueError(f"{output_dir}: no method was evaluated")
    best = next(row for row in data["rows"] if row["name"] == max(ap, key=ap.get))
    return run_folder(output_dir, Run(Row(best["name"]), best["runs"][0]["seed"]))


def _run(bench: Workbench, run: Run, dataset_name: str, tasks: Sequence[str]) -> dict:
    folder = bench.results_folder(run, dataset_name)
    checkpoint = run_folder(bench.output_dir, run) / MODEL
    return {
        "seed": run.seed,
        **bench.seconds(run, dataset_name),
        **_scores(folder, tasks),
        "weight_norms": _norms(checkpoint, bench.bank.num_classes),
    }


def _norms(checkpoint: Path, num_classes: int) -> list[float] | None:
    norms = weight_norms(checkpoint, num_classes)
    return None if norms is None else norms.tolist()


def _scores(folder: Path, tasks: Sequence[str]) -> dict:
    rows = _per_class(folder)
    return {
        "results": read_results(folder / "results.json"),
        "per_class": {task: [_number(row[f"{task}_AP"]) for row in rows] for task in tasks},
    }


def _differences(row: Row, folders: Mapping, tasks: Sequence[str]) -> list[dict]:
    """Differences to the controls, paired over pictures and seeds."""
    rows = []
    for control in row.controls:
        pair = _paired(folders[row.name], folders[control])
        for task in tasks if pair else ():
            ours, theirs = ([_replicates(folder, task) for folder in side] for side in pair)
            rows.append(
                {"control": control, "task": task, **difference_of_replicates(ours, theirs)}
            )
    return rows


def _replicates(folder: Path, task: str) -> dict[str, np.ndarray]:
    with np.load(replicates_file(folder, task)) as file:
        return dict(file)


def _paired(ours: Sequence[Path], theirs: Sequence[Path]) -> tuple | None:
    """Evaluations of the same seeds; all of both where one has no seeds (post-hoc, stage 1)."""
    by_seed = [{folder.parents[1].name: folder for folder in side} for side in (ours, theirs)]
    if any(NO_SEED in side for side in by_seed):
        return (ours, theirs) if ours and theirs else None
    common = sorted(set(by_seed[0]) & set(by_seed[1]))
    return tuple([side[seed] for seed in common] for side in by_seed) if common else None


def _per_class(folder: Path) -> list[dict]:
    """In the order of the category ids."""
    with open(folder / "per_class.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _number(text: str) -> float | None:
    return float(text) if text else None


def _plain(value):
    if isinstance(value, Mapping):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
