"""The official LVIS API (package ``lvis`` 0.5.3), made to run with today's NumPy.

Three repairs, none of which changes a number: ``np.float`` inside ``lvis.eval``'s own namespace
(NumPy itself stays as it is), a ground truth that is judged first, and an
evaluation without a single detection, on which `LVISResults` crashes.
"""

import types
from typing import Any

import lvis.eval
import numpy as np
from lvis import LVIS, LVISEval, LVISResults

from lt_det.evaluation.official.ground_truth import dataset_of

__all__ = ["LVISGroundTruth", "run_lvis_eval"]


def _restore_np_float() -> None:
    """Give ``lvis.eval`` a private NumPy namespace that still has ``np.float``."""
    namespace = types.ModuleType("numpy")
    namespace.__dict__.update(np.__dict__)
    namespace.float = float
    lvis.eval.np = namespace


_restore_np_float()


class LVISGroundTruth(LVIS):
    """`lvis.LVIS` of a judged file.

    Args:
        annotation_path: an LVIS-format JSON, or its `Judgement` without faults. A file without
            annotations, such as test-dev, is accepted; see `has_annotations`.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the file is not JSON, or with a table of all its faults.
    """

    def _load_json(self, path: Any) -> dict[str, Any]:
        return dataset_of(path, "lvis")

    @property
    def has_annotations(self) -> bool:
        """False for a file like test-dev's, which only lists its images."""
        return len(self.dataset["annotations"]) > 0


class _NoResults(LVISResults):
    """The results of a detector that found nothing."""

    def __init__(self, ground_truth: LVIS):
        self.logger = ground_truth.logger
        self.dataset = {**ground_truth.dataset, "annotations": []}
        self._create_index()


def run_lvis_eval(
    ground_truth: LVIS, detections: list[dict[str, Any]], task: str, max_dets_per_image: int = 300
) -> LVISEval:
    """Evaluate detections by the official API.

    Args:
        ground_truth: the data set.
        detections: results in LVIS format; the API adds keys to these dicts. For ``"segm"`` they
            must carry no ``"bbox"``: with one, the API takes the box's area as the object's size.
        task: ``"bbox"`` or ``"segm"``.
        max_dets_per_image: detections kept per image over all classes, best scores first.

    Returns:
        The evaluation, accumulated but not summarised.
    """
    if detections:
        results = LVISResults(ground_truth, detections, max_dets=max_dets_per_image)
    else:
        results = _NoResults(ground_truth)
    lvis_eval = LVISEval(ground_truth, results, task)
    lvis_eval.evaluate()
    lvis_eval.accumulate()
    return lvis_eval
