"""AP_pool: one precision-recall curve of all classes together."""

from __future__ import annotations

import numpy as np

from lt_det.evaluation.matches import Matches
from lt_det.evaluation.matching import precision_recall

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
    num_truth = int(matches.gt_count[classes[matches.gt_class_index]].sum())
    if num_truth == 0:
        return float("nan")
    chosen = np.flatnonzero(classes[matches.class_index])
    # Equal scores rank by image, then class, as in the released code.
    order = np.lexsort(
        (matches.class_index[chosen], matches.image_index[chosen], -matches.score[chosen])
    )
    matched, counted = (m[:, chosen[order]] for m in (matches.matched, ~matches.ignored))
    points, _ = precision_recall(matched & counted, ~matched & counted, num_truth)
    return 100 * float(points.mean())
