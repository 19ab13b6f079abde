"""The two sides of the evaluation benchmark, each in a process of its own that shows its memory."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import MetadataCatalog
from detectron2.evaluation import LVISEvaluator
from lvis import LVIS, LVISEval

import lt_det.evaluation.official.lvis_api  # noqa: F401 # makes the LVIS API run with today's NumPy
from lt_det.evaluation.matching.detection_columns import DetectionColumns
from lt_det.evaluation.matching.detections import ImageDetections
from lt_det.evaluation.metrics.group_metrics import Evaluation
from lt_det.utils.garbage import no_garbage_collection

from benchmarks.parts.memory import forget_peak, peak_mib, resident_mib

__all__ = ["TASKS", "Problem", "Side", "detectron2_side", "in_own_process", "our_boxes", "our_side"]

TASKS = ("bbox", "segm")


@dataclass(frozen=True)
class Problem:
    """Content of an annotation file, and detections."""

    dataset: dict[str, Any]
    detections: DetectionColumns


@dataclass
class Side:
    """What a side took.

    Attributes:
        stage_s: CPU seconds of evaluating and accumulating, by task.
        matches_s: CPU seconds of our matches, by task; the API's are part of its evaluation.
        evaluate_s: CPU seconds of the evaluator's ``evaluate()``, 0 where it was not run.
        arrays: precision and recall by task.
        peak_mib: peak memory of the process, and how much of it came with the evaluation.
    """

    stage_s: dict[str, float] = field(default_factory=dict)
    matches_s: dict[str, float] = field(default_factory=dict)
    evaluate_s: float = 0.0
    arrays: dict[str, Evaluation] = field(default_factory=dict)
    peak_mib: tuple[float, float] = (0.0, 0.0)


def in_own_process(side: Callable[[Problem], Side], problem: Problem) -> Side:
    """Run a side in a fork, which has the problem without loading it."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(_measured, (side, problem))


def detectron2_side(problem: Problem) -> Side:
    """Detectron2's evaluator with the official API, boxes and masks, as a training runs it."""
    side = Side()
    with _registered(problem.dataset) as (name, folder), _stages(side):
        evaluator = LVISEvaluator(name, TASKS, distributed=False, output_dir=str(folder))
        evaluator._predictions = _detectron2_predictions(problem.detections)
        start = time.process_time()
        evaluator.evaluate()
        side.evaluate_s = time.process_time() - start
    return side


def our_side(problem: Problem) -> Side:
    """`LTLVISEvaluator` on the same, and the arrays of each task."""
    from lt_det.evaluation.lvis_evaluator import LTLVISEvaluator
    from lt_det.evaluation.metric_options import MetricOptions

    side = Side()
    with _registered(problem.dataset) as (name, folder):
        # The other side has no such analysis.
        options = {"output_dir": str(folder), "options": MetricOptions(error_analysis=False)}
        evaluator = LTLVISEvaluator(name, distributed=False, **options)
        for detections in _by_image(problem.detections):
            evaluator.add(detections)
        start = time.process_time()
        evaluator.evaluate()
        side.evaluate_s = time.process_time() - start
    for task in TASKS:
        _our_stage(side, problem, task)
    return side


def our_boxes(problem: Problem) -> Side:
    """The arrays and matches of boxes."""
    side = Side()
    _our_stage(side, problem, "bbox")
    return side


def _our_stage(side: Side, problem: Problem, task: str) -> None:
    """From the columns to arrays: with what the API does before ``evaluate()``."""
    from lt_det.evaluation.matching.federated import FederatedTruth
    from lt_det.evaluation.matching.sides import Sides, find_matches
    from lt_det.evaluation.official.hotcoco_api import evaluate_arrays

    ground_truth = _InMemory(problem.dataset)
    with no_garbage_collection():
        start = time.process_time()
        truth = FederatedTruth(ground_truth)
        found, areas = truth.evaluated(problem.detections, task, 300)
        side.arrays[task] = evaluate_arrays(truth, found, areas, task)
        middle = time.process_time()
        find_matches(Sides.of(truth, found, areas, task), side.arrays[task].iou_thresholds)
    side.stage_s[task] = middle - start
    side.matches_s[task] = time.process_time() - middle


class _InMemory(LVIS):
    """A ground truth that needs no file."""

    def _load_json(self, path: dict[str, Any]) -> dict[str, Any]:
        return path


def _measured(side: Callable[[Problem], Side], problem: Problem) -> Side:
    forget_peak()
    before = resident_mib()
    result = side(problem)
    result.peak_mib = (peak_mib(), peak_mib() - before)
    return result


@contextlib.contextmanager
def _registered(dataset: dict[str, Any]) -> Iterator[tuple[str, Path]]:
    """Name of the data set, and a folder for what is written."""
    name = "lt_det_benchmark_eval"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "val.json"
        with open(path, "w") as file:
            json.dump(dataset, file)
        MetadataCatalog.get(name).set(json_file=str(path))
        try:
            yield name, Path(folder) / "output"
        finally:
            MetadataCatalog.remove(name)


@contextlib.contextmanager
def _stages(side: Side) -> Iterator[None]:
    """Time the API's stages while Detectron2 runs them, and keep its arrays."""
    evaluate, accumulate = LVISEval.evaluate, LVISEval.accumulate

    def timed_evaluate(self):
        start = time.process_time()
        evaluate(self)
        side.stage_s[self.params.iou_type] = time.process_time() - start

    def timed_accumulate(self):
        start = time.process_time()
        accumulate(self)
        task = self.params.iou_type
        side.stage_s[task] += time.process_time() - start
        side.arrays[task] = Evaluation(
            self.eval["precision"], self.eval["recall"], np.array(self.params.iou_thrs)
        )

    LVISEval.evaluate, LVISEval.accumulate = timed_evaluate, timed_accumulate
    try:
        yield
    finally:
        LVISEval.evaluate, LVISEval.accumulate = evaluate, accumulate


def _detectron2_predictions(detections: DetectionColumns) -> list[dict[str, Any]]:
    """As its ``process`` leaves them: boxes and masks in one dict, classes from 0."""
    predictions = [{"image_id": i, "instances": []} for i in detections.image_ids]
    pairs = zip(detections.records("bbox"), detections.rles, strict=True)
    for index, (record, counts) in zip(detections.image_index.tolist(), pairs, strict=True):
        size = detections.image_sizes[index].tolist()
        record["category_id"] -= 1
        record["segmentation"] = {"size": size, "counts": counts.decode("ascii")}
        predictions[index]["instances"].append(record)
    return predictions


def _by_image(detections: DetectionColumns) -> Iterator[ImageDetections]:
    """As our ``process`` leaves them."""
    ends = np.searchsorted(detections.image_index, np.arange(len(detections.image_ids) + 1))
    for index, image_id in enumerate(detections.image_ids):
        rows = slice(ends[index], ends[index + 1])
        yield ImageDetections(
            image_id,
            tuple(detections.image_sizes[index].tolist()),
            detections.category_ids[rows] - 1,
            detections.scores[rows],
            detections.boxes[rows],
            detections.rles[rows],
        )
