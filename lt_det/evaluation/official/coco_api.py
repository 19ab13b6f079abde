"""pycocotools' evaluation, quiet, on a file that is judged first."""

import contextlib
import io
import os
from typing import Any

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lt_det.data.judgement.judge import Judgement
from lt_det.evaluation.official.ground_truth import dataset_of

__all__ = ["COCOGroundTruth", "run_coco_eval"]


class COCOGroundTruth(COCO):
    """`pycocotools.coco.COCO` of a judged file.

    Args:
        annotation_path: a COCO-format JSON, or its `Judgement` without faults; one without
            annotations lists a test set's images.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the file is not JSON, or with a table of all its faults.
    """

    def __init__(self, annotation_path: str | os.PathLike | Judgement):
        super().__init__()
        self.dataset = dataset_of(annotation_path, "coco")
        with contextlib.redirect_stdout(io.StringIO()):
            self.createIndex()

    def get_cat_ids(self) -> list[int]:
        """As the LVIS API calls it."""
        return self.getCatIds()

    @property
    def has_annotations(self) -> bool:
        """False for a file that only lists its images."""
        return len(self.dataset["annotations"]) > 0


def run_coco_eval(
    ground_truth: COCOGroundTruth, detections: list[dict[str, Any]], task: str, max_dets: int = 100
) -> COCOeval:
    """Evaluate detections by pycocotools.

    Args:
        ground_truth: the data set.
        detections: results in COCO format; pycocotools adds keys to these dicts. For ``"segm"``
            they must carry no ``"bbox"``: with one, the box's area is the object's size.
        task: ``"bbox"`` or ``"segm"``.
        max_dets: detections kept per image and class, best scores first.

    Returns:
        The evaluation, accumulated but not summarised.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        coco_eval = COCOeval(ground_truth, _results(ground_truth, detections), task)
        coco_eval.params.maxDets = [max_dets]
        coco_eval.evaluate()
        coco_eval.accumulate()
    return coco_eval


def _results(ground_truth: COCOGroundTruth, detections: list[dict[str, Any]]) -> COCO:
    if detections:
        return ground_truth.loadRes(detections)
    # loadRes looks into the first detection.
    nothing = COCO()
    nothing.dataset = {**ground_truth.dataset, "annotations": []}
    nothing.createIndex()
    return nothing
