"""All metrics of one task: an official API's, and those that none computes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lt_det.evaluation.matching.detection_columns import DetectionColumns
from lt_det.evaluation.matching.fixed_ap import best_per_class
from lt_det.evaluation.matching.matches import Matches
from lt_det.evaluation.matching.sides import Sides
from lt_det.evaluation.matching.truth import Truth
from lt_det.evaluation.metric_options import MetricOptions
from lt_det.evaluation.metrics.class_groups import ClassGroups
from lt_det.evaluation.metrics.further_metrics import (
    analyse_errors,
    boundary_metrics,
    calibration,
    fixed_metrics,
)
from lt_det.evaluation.metrics.group_metrics import Evaluation, per_class, summarize

__all__ = ["TaskMetrics", "TaskResults"]

logger = logging.getLogger(__name__)


class TaskResults(NamedTuple):
    """What an evaluation of a task gives.

    Attributes:
        metrics: key -> percent.
        by_class: metric -> percent [K].
        matches: of the API.
        diagnostics: the task's part of ``diagnostics.json``.
    """

    metrics: dict[str, float]
    by_class: dict[str, np.ndarray]
    matches: Matches
    diagnostics: dict[str, Any]


@dataclass(frozen=True)
class TaskMetrics:
    """Evaluates the detections of a data set.

    Attributes:
        run_api: evaluates detections by a task with a limit, a negative one being none.
        read_truth: the ground truth in columns; called if it is needed.
        names: name of each class [K].
        groups: groups of the classes.
        options: which metrics there are beside the API's.
        max_dets: the API's limit.
    """

    run_api: Callable[[DetectionColumns, str, int], tuple[Evaluation, Matches]]
    read_truth: Callable[[], Truth]
    names: Sequence[str]
    groups: ClassGroups
    options: MetricOptions
    max_dets: int

    def __call__(self, detections: DetectionColumns, task: str) -> TaskResults:
        """Evaluate by ``"bbox"`` or ``"segm"``."""
        start = time.perf_counter()
        num_images = len(detections.image_ids)
        logger.log(
            logging.INFO if len(detections) else logging.WARNING,
            f"Evaluating {task}: {len(detections)} detections on {num_images} images ...",
        )
        found = detections.best_per_image(self.options.detections_per_image)
        evaluation, matches = self.run_api(found, task, self.max_dets)
        *arrays, iou_thresholds = evaluation
        metrics = summarize(*arrays, self.groups.frequency, iou_thresholds, self.groups.others)
        errors, curves = calibration(matches, self.groups)
        metrics |= errors
        diagnostics = {"calibration": curves}
        if self.options.detections_per_class:
            metrics |= self._fixed(detections, task)
        dilation = self.options.boundary_dilation if task == "segm" else 0
        if dilation or self.options.error_analysis:
            evaluated = self._truth.evaluated(found, task, self.max_dets)
            sides = Sides.of(self._truth, *evaluated, task)
        if dilation:
            metrics |= boundary_metrics(sides, dilation, self.groups)
        if self.options.error_analysis:
            diagnostics |= analyse_errors(sides, self.names, self.groups)
        logger.info(f"Evaluated {task} in {time.perf_counter() - start:.1f} s.")
        return TaskResults(metrics, per_class(*arrays, iou_thresholds), matches, diagnostics)

    def _fixed(self, detections: DetectionColumns, task: str) -> dict[str, float]:
        limit = self.options.detections_per_class
        kept = best_per_class(detections.category_ids, detections.scores, limit)
        _warn_if_few(detections.category_ids, limit, len(self.names))
        return fixed_metrics(*self.run_api(detections.take(kept), task, -1), self.groups)

    @cached_property
    def _truth(self) -> Truth:
        return self.read_truth()


def _warn_if_few(category_ids: np.ndarray, limit: int, num_classes: int) -> None:
    _, counts = np.unique(category_ids, return_counts=True)
    few = num_classes - np.count_nonzero(counts >= limit)
    if few:
        logger.warning(
            f"AP_fixed: {few} of {num_classes} classes have less than {limit} detections. If a "
            "score threshold or a limit per image cut them, AP_fixed is too low: lower "
            "MODEL.ROI_HEADS.SCORE_THRESH_TEST, and let the model keep all (of a results file: "
            "write more detections)."
        )
