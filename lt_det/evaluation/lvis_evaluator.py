"""Detectron2 evaluator whose numbers are the LVIS API's."""

from typing import Any

import numpy as np

from lt_det.data.judgement.categories import FREQUENCIES
from lt_det.data.judgement.judge import Judgement
from lt_det.evaluation.group_evaluator import PREDICTIONS_FILE, GroupEvaluator
from lt_det.evaluation.matching.detection_columns import DetectionColumns
from lt_det.evaluation.matching.federated import FederatedTruth
from lt_det.evaluation.matching.matches import Matches
from lt_det.evaluation.metrics.group_metrics import Evaluation
from lt_det.evaluation.official.backends import check_backend, log_fallback, usable_backend
from lt_det.evaluation.official.hotcoco_api import HotcocoRefusalError, run_hotcoco_eval
from lt_det.evaluation.official.lvis_api import LVISGroundTruth, run_lvis_eval

__all__ = ["PREDICTIONS_FILE", "LTLVISEvaluator"]


class LTLVISEvaluator(GroupEvaluator):
    """Evaluate an LVIS-format data set by the official API, or with its numbers by hotcoco.

    AR is at `max_dets_per_image` detections, 300 by default, over all classes. Groups are those of
    the annotation file's ``frequency``.
    """

    DATA_FORMAT = "lvis"
    DEFAULT_MAX_DETS = 300

    def __init__(self, dataset_name: str, *, backend: str = "hotcoco", **options: Any):
        """Load the ground truth.

        Args:
            dataset_name: see `GroupEvaluator`.
            backend: one of `lt_det.evaluation.official.backends.BACKENDS`. Where hotcoco cannot
                run, or refuses the file, the LVIS API evaluates and a message says so.
            options: see `GroupEvaluator`.

        Raises:
            FileNotFoundError: see `GroupEvaluator`.
            ValueError: if `backend` is unknown; otherwise see `GroupEvaluator`.
        """
        check_backend(backend)
        self._backend = backend
        super().__init__(dataset_name, **options)

    def _read_ground_truth(self, judgement: Judgement) -> LVISGroundTruth:
        return LVISGroundTruth(judgement)

    def _read_truth(self) -> FederatedTruth:
        return FederatedTruth(self._ground_truth)

    def _run_api(
        self, detections: DetectionColumns, task: str, max_dets: int
    ) -> tuple[Evaluation, Matches]:
        if usable_backend(self._backend) == "hotcoco":
            try:
                return run_hotcoco_eval(self._ground_truth, detections, task, max_dets)
            except HotcocoRefusalError as error:
                log_fallback(str(error))
        records = list(detections.records(task))
        run = run_lvis_eval(self._ground_truth, records, task, max_dets)
        arrays = run.eval["precision"], run.eval["recall"]
        return Evaluation(*arrays, run.params.iou_thrs), Matches.from_lvis_eval(run)

    def _groups_of_file(self) -> np.ndarray:
        # The list of a test set's categories may lack it.
        frequency = [self._ground_truth.cats[i].get("frequency") for i in self._category_ids]
        groups = [FREQUENCIES.index(f) if f in FREQUENCIES else -1 for f in frequency]
        return np.array(groups, dtype=np.int64)
