"""Detectron2 evaluator whose numbers are the LVIS API's."""

import numpy as np

from lt_det.evaluation.group_evaluator import PREDICTIONS_FILE, GroupEvaluator
from lt_det.evaluation.group_metrics import Evaluation
from lt_det.evaluation.lvis_api import LVISGroundTruth, run_lvis_eval
from lt_det.evaluation.matches import Matches

__all__ = ["PREDICTIONS_FILE", "LTLVISEvaluator"]


class LTLVISEvaluator(GroupEvaluator):
    """Evaluate an LVIS-format data set by the official API.

    AR is at `max_dets_per_image` detections, 300 by default, over all classes. Groups are those of
    the annotation file's ``frequency``.
    """

    DEFAULT_MAX_DETS = 300

    def _read_ground_truth(self, path: str) -> LVISGroundTruth:
        return LVISGroundTruth(path)

    def _run_api(self, records: list[dict], task: str) -> tuple[Evaluation, Matches]:
        run = run_lvis_eval(self._ground_truth, records, task, self._max_dets_per_image)
        arrays = run.eval["precision"], run.eval["recall"]
        return Evaluation(*arrays, run.params.iou_thrs), Matches.from_lvis_eval(run)

    def _groups_of_file(self) -> np.ndarray:
        frequency = [self._ground_truth.cats[i]["frequency"] for i in self._category_ids]
        return np.array(["rcf".index(f) for f in frequency], dtype=np.int64)
