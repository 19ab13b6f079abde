"""The table of a study: mean and spread over seeds, paired differences to the controls."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lt_det.evaluation.matching.matches import Matches
from lt_det.evaluation.metrics.bootstrap import bootstrap_difference
from lt_det.evaluation.results import methods_table, read_results
from lt_det.pages.text import differences_table
from lt_det.utils.atomic_file import atomic_text

__all__ = ["Run", "write_study_report"]

Run = Path
"""Folder of one evaluation, ``OUTPUT_DIR/inference/<dataset>``, as LTLVISEvaluator writes it."""


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
    parts = [f"## {title}", *notes, methods_table(results)]
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
