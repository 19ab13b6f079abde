"""One evaluated run, as its output folder holds it. All but ``results.json`` is optional."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from lt_det.class_stats import GROUP_NAMES
from lt_det.evaluation.matching.matches import Matches
from lt_det.evaluation.metrics.gradient_history import GRADIENT_RATIO_FILE, GradientHistory
from lt_det.evaluation.results import read_results
from lt_det.reports.runs.diagnostics_file import Diagnostics, read_diagnostics
from lt_det.reports.runs.weight_norms import weight_norms

__all__ = ["ClassRow", "RunFolder"]

ClassRow = Mapping[str, Any]
"""A row of ``per_class.csv``: ``name`` and ``group`` text, the rest floats, NaN where empty."""

_TEXTS = ("name", "group")
_NUMBERS = ("class_id", "category_id", "val_instances")


@dataclass(frozen=True)
class RunFolder:
    """What the evaluator left, and the training beside it.

    Attributes:
        path: as the user named it.
        evaluation: folder of ``results.json``.
        training: ``OUTPUT_DIR``; the evaluation's own folder where there is none.
        results: see :func:`read_results`.
        rows: of ``per_class.csv``, by rising category id [K]; empty without the file.
    """

    path: Path
    evaluation: Path
    training: Path
    results: Mapping[str, Mapping[str, float]]
    rows: Sequence[ClassRow]

    @classmethod
    def open(cls, path: str | os.PathLike, dataset: str | None = None) -> RunFolder:
        """Find the evaluation in a folder and read it.

        Args:
            path: ``OUTPUT_DIR`` of a training, the folder ``inference/<data set>`` in it, or what
                ``tools/evaluate.py --output`` wrote.
            dataset: which data set, where ``OUTPUT_DIR`` has the results of several.

        Raises:
            FileNotFoundError: if there is no folder or no ``results.json``.
            ValueError: if the data set is not told or not there, or a file is broken.
        """
        path = Path(path)
        evaluation = _find_evaluation(path, dataset)
        of_training = evaluation.parent.name == "inference"
        training = evaluation.parent.parent if of_training else evaluation
        rows = _read_rows(evaluation / "per_class.csv")
        return cls(path, evaluation, training, read_results(evaluation / "results.json"), rows)

    @property
    def dataset(self) -> str | None:
        """Name of the data set; None where the folder does not tell it."""
        return self.evaluation.name if self.training != self.evaluation else None

    @property
    def groups(self) -> np.ndarray:
        """Group index of each class [K], -1 for none."""
        names = {name: index for index, name in enumerate(GROUP_NAMES)}
        return np.array([names.get(row["group"], -1) for row in self.rows], dtype=np.int64)

    def column(self, name: str) -> np.ndarray | None:
        """A number of each class [K]; None if the file has no such column, or nothing in it."""
        if not self.rows or name not in self.rows[0]:
            return None
        values = np.array([row[name] for row in self.rows])
        return None if np.isnan(values).all() else values

    def matches(self, task: str) -> Matches | None:
        """``matches_<task>.npz``.

        Raises:
            ValueError: if it is broken, or of other classes than ``per_class.csv``.
        """
        path = self.evaluation / f"matches_{task}.npz"
        if not path.is_file():
            return None
        try:
            matches = Matches.load(path)
        except (ValueError, OSError, KeyError) as error:
            raise ValueError(f"'{path}' cannot be read: {error}") from error
        if self.rows and not np.array_equal(matches.category_ids, self.column("category_id")):
            raise ValueError(f"'{path}' has other classes than per_class.csv beside it.")
        return matches

    @cached_property
    def diagnostics(self) -> Diagnostics:
        """``diagnostics.json``; empty without it."""
        return read_diagnostics(self.evaluation / "diagnostics.json")

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """``config.yaml``; empty without it."""
        path = self.training / "config.yaml"
        if not path.is_file():
            return {}
        try:
            return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"'{path}' is not a config file: {error}") from error

    @cached_property
    def weight_norms(self) -> np.ndarray | None:
        """Norm of each class's weights in ``model_final.pth`` [K]."""
        path = self.training / "model_final.pth"
        if not (self.rows and path.is_file()):
            return None
        norms = weight_norms(path, self._num_model_classes)
        return None if norms is None else self._by_row(norms, path)

    @cached_property
    def class_rates(self) -> np.ndarray | None:
        """Learned rate of each class, from ``class_rates.json`` [K]."""
        path = self.training / "class_rates.json"
        if not (self.rows and path.is_file()):
            return None
        try:
            rates = np.array(json.loads(path.read_bytes())["rate"], dtype=np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"'{path}' has no list 'rate' of numbers: {error}") from error
        return self._by_row(rates, path)

    @cached_property
    def gradient_sums(self) -> GradientHistory | None:
        """``gradient_ratio.csv``, its classes in the order of the rows."""
        path = self.training / GRADIENT_RATIO_FILE
        if not (self.rows and path.is_file()):
            return None
        sums = GradientHistory.load(path)
        columns = (self._by_row(values.T, path).T for values in (sums.positive, sums.negative))
        return GradientHistory(sums.iteration, *columns)

    @property
    def _num_model_classes(self) -> int:
        return int(np.nanmax(self.column("class_id"))) + 1

    def _by_row(self, values: np.ndarray, path: Path) -> np.ndarray:
        """Values of the model's classes [C, ...] in the order of the rows [K, ...]."""
        if len(values) != self._num_model_classes:
            raise ValueError(
                f"'{path}' holds {len(values)} classes, expected the {self._num_model_classes} of "
                f"'{self.evaluation / 'per_class.csv'}': they are of different trainings."
            )
        class_id = self.column("class_id")
        by_row = values[np.nan_to_num(class_id).astype(int)].astype(np.float64)
        by_row[np.isnan(class_id)] = np.nan
        return by_row


def _find_evaluation(path: Path, dataset: str | None) -> Path:
    if not path.is_dir():
        raise FileNotFoundError(f"Output folder not found: {path}.")
    if (path / "results.json").is_file():
        return path
    found = {p.parent.name: p.parent for p in sorted(path.glob("inference/*/results.json"))}
    if not found:
        raise FileNotFoundError(
            f"{path} has neither results.json nor inference/<data set>/results.json: evaluate "
            "first (tools/train_net.py --eval-only, or tools/evaluate.py --output)."
        )
    if dataset is None and len(found) > 1:
        raise ValueError(f"{path} has results on {sorted(found)}: choose one with --dataset.")
    if dataset is not None and dataset not in found:
        raise ValueError(f"{path} has no results on {dataset!r}, but on {sorted(found)}.")
    return found[dataset or next(iter(found))]


def _read_rows(path: Path) -> list[dict]:
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = {*_TEXTS, *_NUMBERS} - set(reader.fieldnames or ())
        if missing:
            raise ValueError(f"'{path}' lacks the columns {sorted(missing)}: write it again.")
        try:
            return [{k: v if k in _TEXTS else _number(v) for k, v in r.items()} for r in reader]
        except (TypeError, ValueError) as error:
            raise ValueError(f"'{path}' is damaged: {error}") from error


def _number(text: str) -> float:
    return float(text) if text else math.nan
