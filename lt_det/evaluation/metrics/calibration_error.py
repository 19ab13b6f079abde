"""Calibration of scores: is a detection of score s correct s of the time?"""

from __future__ import annotations

from typing import Any

import numpy as np

from lt_det.evaluation.matching.matches import Matches

__all__ = ["calibration_curve"]


def calibration_curve(
    matches: Matches, classes: np.ndarray, num_bins: int = 10, threshold_index: int = 0
) -> dict[str, Any]:
    """Expected calibration error of the detections of some classes, and its curve.

    D-ECE of Küppers et al., "Multivariate Confidence Calibration for Object Detection", CVPRW 2020,
    arXiv 2004.13546, over the score alone: bins of equal width, and of each the difference between
    its mean score and the share of true positives, weighted by its number of detections. A
    detection is correct if it matches as in AP, so a duplicate is not. Detections that AP ignores
    do not enter, nor do missed objects.

    Args:
        matches: the evaluation.
        classes: whether each class is one of them [K].
        num_bins: bins of (0, 1]; a score of 0 is in the first.
        threshold_index: which IoU threshold makes a detection correct; the first is 0.5.

    Returns:
        ``"ece"``, a fraction, NaN without detections, and ``"bins"``: of each with detections its
        mean ``"confidence"``, its ``"precision"`` and its ``"count"``.

    Raises:
        ValueError: if a score is not in [0, 1].
    """
    chosen = classes[matches.class_index] & ~matches.ignored[threshold_index]
    score, matched = matches.score[chosen], matches.matched[threshold_index, chosen]
    if len(score) and not (score.min() >= 0 and score.max() <= 1):
        raise ValueError(
            f"scores are from {score.min():g} to {score.max():g}, but calibration compares them "
            "with shares: give probabilities in [0, 1]."
        )
    place = np.searchsorted(np.linspace(0, 1, num_bins + 1)[1:-1], score)
    count, confidence, correct = (
        np.bincount(place, weights, minlength=num_bins) for weights in (None, score, matched)
    )
    ece = np.abs(confidence - correct).sum() / len(score) if len(score) else np.nan
    bins = [
        {
            "confidence": float(confidence[b] / count[b]),
            "precision": float(correct[b] / count[b]),
            "count": int(count[b]),
        }
        for b in np.flatnonzero(count)
    ]
    return {"ece": float(ece), "bins": bins}
