"""The table of a study: mean and spread over seeds, paired differences to the controls."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tabulate import tabulate

from lt_det.evaluation.matching.matches import Matches
from lt_det.evaluation.metrics.bootstrap import bootstrap_difference
from lt_det.evaluation.results import atomic_text, methods_table, read_results

__all__ = [
    "METRICS",
    "Run",
    "differences_table",
    "excludes_zero",
    "format_difference",
    "write_study_report",
]

Run = Path
"""Folder of one evaluation, ``OUTPUT_DIR/inference/<dataset>``, as LTLVISEvaluator writes it."""

METRICS = ("AP", "APr", "APc", "APf")


def write_study_report(
    path: str | Path,
    runs: Mapping[str, Sequence[Run]],
    controls: Mapping[str, Sequence[str]],
    groups: np.ndarray,
    *,
    title: str,
    notes: Sequence[str] = (),
    num_replicates: int = 1000,
) -> str:
    """Write Markdown: the methods, then each one's difference to its controls.

    Args:
        path: Markdown file; the differences are written beside it as JSON.
        runs: method -> one evaluation folder per seed, in the order of the seeds.
        controls: method -> methods it is compared with.
        groups: group of each class (K,), see :meth:`ClassStats.groups`.
        title: headline.
        notes: lines that say what was run: command, commit, machine, seeds.
        num_replicates: of the bootstrap over pictures.

    Returns:
        The Markdown text.
    """
    results = {
        name: [read_results(folder / "results.json") for folder in folders]
        for name, folders in runs.items()
    }
    parts = [f"## {title}", *notes, methods_table(results, METRICS)]
    comparisons = [(name, control) for name, of in controls.items() for control in of]
    if comparisons:
        differences = {
            task: _differences(runs, comparisons, groups, task, num_replicates)
            for task in results[comparisons[0][0]][0]
        }
        for task, rows in differences.items():
            parts += [f"### Paired differences, {task} AP", differences_table(rows)]
        with atomic_text(Path(path).with_suffix(".json")) as file:
            json.dump({"results": results, "differences": differences}, file, indent=1)
    text = "\n\n".join(parts) + "\n"
    with atomic_text(path) as file:
        file.write(text)
    return text


def differences_table(rows: Sequence[Mapping]) -> str:
    """Markdown of ``[{"method", "control", "AP": {"mean", "lo", "hi"}, ...}]``."""
    table = [[row["method"], row["control"], *(_cell(row[m]) for m in METRICS)] for row in rows]
    headers = ("method", "minus", *METRICS)
    return tabulate(table, headers, tablefmt="pipe", disable_numparse=True)


def _differences(runs, comparisons, groups, task: str, num_replicates: int) -> list[dict]:
    matches = {
        name: [Matches.load(folder / f"matches_{task}.npz") for folder in runs[name]]
        for name in {name for pair in comparisons for name in pair}
    }
    return [
        {"method": name, "control": control}
        | bootstrap_difference(matches[name], matches[control], groups, num_replicates)
        for name, control in comparisons
    ]


def format_difference(difference: Mapping[str, float]) -> str:
    """Format ``+1.2 [+0.3, +2.0]``; ``-`` without ground truth."""
    if np.isnan(difference["mean"]):
        return "-"
    return f"{difference['mean']:+.1f} [{difference['lo']:+.1f}, {difference['hi']:+.1f}]"


def excludes_zero(difference: Mapping[str, float]) -> bool:
    """Say whether the interval lies on one side of zero; not of NaN."""
    return difference["lo"] > 0 or difference["hi"] < 0


def _cell(difference: Mapping[str, float]) -> str:
    """An interval that excludes zero is bold."""
    text = format_difference(difference)
    return f"**{text}**" if excludes_zero(difference) else text
