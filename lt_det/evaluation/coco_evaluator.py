"""Detectron2 evaluator whose numbers are pycocotools', with the groups of a long-tailed set."""

import logging

import numpy as np

from lt_det.data.judgement.judge import Judgement
from lt_det.evaluation.group_evaluator import GroupEvaluator
from lt_det.evaluation.matching.detection_columns import DetectionColumns
from lt_det.evaluation.matching.exhaustive import ExhaustiveTruth
from lt_det.evaluation.matching.matches import Matches
from lt_det.evaluation.metrics.group_metrics import Evaluation
from lt_det.evaluation.official.coco_api import COCOGroundTruth, run_coco_eval

__all__ = ["LTCOCOEvaluator"]

logger = logging.getLogger(__name__)


class LTCOCOEvaluator(GroupEvaluator):
    """Evaluate a COCO-format data set by pycocotools.

    Every class counts as annotated exhaustively, crowd regions are ignored, and the best 100
    detections of each image **and class** count. AR is at as many. A COCO file says nothing about
    how frequent classes are in training: pass ``groups``, or APr, APc and APf are NaN.
    """

    DATA_FORMAT = "coco"
    DEFAULT_MAX_DETS = 100

    def _read_ground_truth(self, judgement: Judgement) -> COCOGroundTruth:
        return COCOGroundTruth(judgement)

    def _read_truth(self) -> ExhaustiveTruth:
        return ExhaustiveTruth(self._ground_truth)

    def _run_api(
        self, detections: DetectionColumns, task: str, max_dets: int
    ) -> tuple[Evaluation, Matches]:
        records = list(detections.records(task))
        max_dets = max_dets if max_dets >= 0 else len(records)
        run = run_coco_eval(self._ground_truth, records, task, max_dets)
        # The last axis is the cap; the last one is the largest.
        arrays = run.eval["precision"][..., -1], run.eval["recall"][..., -1]
        return Evaluation(*arrays, run.params.iouThrs), Matches.from_coco_eval(run)

    def _groups_of_file(self) -> np.ndarray:
        logger.warning(
            "No class statistics of the training set: APr, APc and APf of '%s' stay empty. They "
            "come from the checkpoint or from DATASETS.CLASS_STATS_FILE.",
            self._json_file,
        )
        return np.full(len(self._category_ids), -1)
