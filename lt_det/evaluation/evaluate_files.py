"""Evaluating results files against an annotation file: no model, no registered data set."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lt_det.class_stats import ClassStats
from lt_det.data.datasets.judged_file import judged_file
from lt_det.data.judgement.findings import describe_notes
from lt_det.evaluation.evaluators import EVALUATORS
from lt_det.evaluation.files.file_groups import training_stats
from lt_det.evaluation.group_evaluator import GroupEvaluator
from lt_det.evaluation.matching.detections import ImageDetections, tasks_of
from lt_det.evaluation.matching.matches import Matches
from lt_det.evaluation.metric_options import MetricOptions
from lt_det.evaluation.metrics.bootstrap import bootstrap_difference
from lt_det.evaluation.results import RESULTS_FILE
from lt_det.pages.text import TASK_NAMES, differences_table
from lt_det.utils.atomic_file import atomic_text, nan_to_null

__all__ = ["DIFFERENCES_FILE", "OTHER_FOLDER", "evaluate_files", "evaluator_of_files"]

DIFFERENCES_FILE = "differences.json"
OTHER_FOLDER = "compared"

logger = logging.getLogger(__name__)


def evaluate_files(
    evaluator: GroupEvaluator,
    predictions: str | os.PathLike,
    other: str | os.PathLike | None = None,
    *,
    output_dir: str | os.PathLike | None = None,
    num_replicates: int = 1000,
) -> dict[str, dict]:
    """Evaluate a results file, and compare it with another one.

    Args:
        evaluator: of the ground truth, see `evaluator_of_files`; its detections and its output
            folder are replaced.
        predictions: results file.
        other: results file that is evaluated and compared with, too.
        output_dir: folder for the evaluator's files; those of `other` go into its folder
            ``compared``, the differences into its ``differences.json``. None writes nothing.
        num_replicates: of the bootstrap over pictures.

    Returns:
        Task -> `predictions` minus `other` as in `bootstrap_difference`, with ``method`` and
        ``control``, their paths; empty without `other`.

    Raises:
        FileNotFoundError: if a results file does not exist.
        ValueError: if one is malformed, both have no task in common, or `output_dir` would
            overwrite one.
    """
    files = [predictions] if other is None else [predictions, other]
    folders = _output_folders(output_dir, files)
    detections = [evaluator.read_results(path) for path in files]
    common = tasks_of(detections[0])
    if other is not None:
        common = tuple(task for task in common if task in tasks_of(detections[1]))
        if not common:
            raise ValueError(
                f"{predictions} and {other} cannot be compared: one holds boxes and the other "
                "masks. Give files with boxes or masks in both."
            )
    matches = [_evaluate(evaluator, *run) for run in zip(files, folders, detections, strict=True)]
    if other is None:
        return {}
    names = {"method": os.fspath(predictions), "control": os.fspath(other)}
    differences = {
        task: names
        | bootstrap_difference(*([m[task]] for m in matches), evaluator.groups, num_replicates)
        for task in common
    }
    _report(differences, output_dir)
    return differences


def evaluator_of_files(
    ground_truth: str | os.PathLike,
    data_format: str | None = None,
    *,
    groups_file: str | os.PathLike | None = None,
    train_file: str | os.PathLike | None = None,
    thresholds: Sequence[int] | None = None,
    options: MetricOptions | None = None,
    ignore: str = "fault",
) -> GroupEvaluator:
    """Build the evaluator of an annotation file.

    Args:
        ground_truth: annotation file.
        data_format: ``"lvis"`` or ``"coco"``; default: LVIS if its images have
            ``neg_category_ids``.
        groups_file: see `read_groups`.
        train_file: annotation file of the training set; its counts go into ``per_class.csv``.
        thresholds: image counts in `train_file` that end the rare and the common group; default:
            LVIS's ``frequency``, and 10 and 100 for the COCO format.
        options: further metrics; default `MetricOptions`.
        ignore: what objects with ``ignore`` 1 are in the COCO format, "fault" or "crowd".

    Raises:
        FileNotFoundError: if a file does not exist.
        ValueError: if a file has faults, the ground truth has no annotations, or `thresholds` come
            without `train_file` or beside `groups_file`.
    """
    if thresholds and (groups_file or not train_file):
        raise ValueError(
            "group thresholds are image counts of a training set: give its file, and no groups "
            "file (--group-thresholds needs --train and excludes --groups)."
        )
    path = os.fspath(ground_truth)
    judgement = judged_file(path, data_format, ignore)
    data_format = judgement.data_format
    logger.info(f"'{path}' is read in the {data_format.upper()} format.")
    content = judgement.content
    if not content["annotations"]:
        odd = describe_notes(judgement.notes)
        raise ValueError(
            f"{path} has no annotations ({odd or 'a test set?'}): nothing can be evaluated on it."
        )
    categories = {category["id"]: category["name"] for category in content["categories"]}
    stats = training_stats(train_file, categories, ignore) if train_file else None
    groups = _groups_by_counts(stats, thresholds, data_format, len(categories))
    if groups is not None and not groups_file and (groups < 0).all():
        logger.warning("APr, APc and APf stay empty without groups: give --groups or --train.")
    return EVALUATORS[data_format].from_file(
        path,
        judgement=judgement,
        distributed=False,
        groups=groups,
        groups_file=groups_file,
        class_stats=stats,
        options=options,
    )


def _groups_by_counts(
    stats: ClassStats | None,
    thresholds: Sequence[int] | None,
    data_format: str,
    num_classes: int,
) -> np.ndarray | None:
    """Groups by training counts, or None where the ground truth decides."""
    if thresholds:
        return stats.groups(tuple(thresholds))
    if data_format == "lvis":
        return None
    if stats is not None:
        return stats.groups()
    return np.full(num_classes, -1)


def _evaluate(
    evaluator: GroupEvaluator,
    path: str | os.PathLike,
    folder: str | None,
    detections: Sequence[ImageDetections],
) -> Mapping[str, Matches]:
    logger.info(f"Results file '{path}':")
    evaluator.reset()
    evaluator.output_dir = folder
    for of_image in detections:
        evaluator.add(of_image)
    evaluator.evaluate()
    return evaluator.matches


def _output_folders(
    output_dir: str | os.PathLike | None, files: Sequence[str | os.PathLike]
) -> list[str | None]:
    if output_dir is None:
        return [None] * len(files)
    folders = [Path(output_dir), Path(output_dir) / OTHER_FOLDER][: len(files)]
    written = {(folder / RESULTS_FILE).resolve() for folder in folders}
    for path in files:
        if Path(path).resolve() in written:
            raise ValueError(f"{path} would be overwritten: choose another output folder.")
    return [str(folder) for folder in folders]


def _report(differences: Mapping[str, dict], output_dir: str | os.PathLike | None) -> None:
    for task, row in differences.items():
        logger.info(
            f"Paired differences in {TASK_NAMES[task]} AP, with a 95 % interval over pictures:\n"
            + differences_table([row])
        )
    if output_dir is not None:
        path = Path(output_dir) / DIFFERENCES_FILE
        with atomic_text(path) as file:
            json.dump(nan_to_null(differences), file, indent=1, allow_nan=False)
        logger.info(f"Differences written to '{path}'.")
