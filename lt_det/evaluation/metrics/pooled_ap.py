"""AP_pool: one precision-recall curve of all classes together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lt_det.evaluation.matching.matches import Matches
from lt_det.evaluation.metrics.bootstrap import average_precision

__all__ = ["pooled_average_precision"]


def pooled_average_precision(matches: Matches, classes: np.ndarray) -> float:
    """AP of the detections and objects of several classes as if they were of one.

    AP^Pool of Dave et al., arXiv 2102.01066: detections match within their class as
    ever, but rank by their score against those of all classes, so scores must mean the same in
    every class. Equal to `LVISPooledEval` of the released code. There, detections are those of
    AP_fixed. Every instance counts the same, so frequent classes weigh most.

    Args:
        matches: the evaluation.
        classes: whether each class is one of them [K].

    Returns:
        Mean precision over all IoU and recall thresholds in percent; NaN without ground truth.
    """
    dets = np.flatnonzero(classes[matches.class_index])
    pairs = np.flatnonzero(classes[matches.gt_class_index])
    # Equal scores rank by image, then class, as in the released code.
    dets = dets[np.argsort(matches.image_index[dets], kind="stable")]
    as_one = replace(
        matches,
        category_ids=np.zeros(1, dtype=np.int64),
        image_index=matches.image_index[dets],
        class_index=np.zeros_like(dets),
        score=matches.score[dets],
        matched=matches.matched[:, dets],
        ignored=matches.ignored[:, dets],
        gt_image_index=matches.gt_image_index[pairs],
        gt_class_index=np.zeros_like(pairs),
        gt_count=matches.gt_count[pairs],
    )
    return average_precision(as_one)[0].item()
