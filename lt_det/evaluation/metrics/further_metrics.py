"""The metrics that no official API computes, as result keys and as diagnostics.

Keys are those of AP with a suffix, in percent; what is a curve or a table goes into
``diagnostics.json``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from lt_det.evaluation.matching.matches import Matches
from lt_det.evaluation.matching.sides import Sides, find_matches
from lt_det.evaluation.metrics.bootstrap import average_precision
from lt_det.evaluation.metrics.boundary import boundary_overlaps
from lt_det.evaluation.metrics.calibration_error import calibration_curve
from lt_det.evaluation.metrics.class_groups import ClassGroups
from lt_det.evaluation.metrics.confusion import confusions
from lt_det.evaluation.metrics.error_shares import error_shares
from lt_det.evaluation.metrics.errors import find_errors
from lt_det.evaluation.metrics.group_metrics import (
    IOU_THRESHOLDS,
    Evaluation,
    mean_present,
    summarize,
)
from lt_det.evaluation.metrics.pooled_ap import pooled_average_precision

__all__ = ["analyse_errors", "boundary_metrics", "calibration", "fixed_metrics"]

logger = logging.getLogger(__name__)


def fixed_metrics(
    evaluation: Evaluation, matches: Matches, groups: ClassGroups
) -> dict[str, float]:
    """AP_fixed and AP_pool, see `best_per_class` and `pooled_average_precision`.

    Args:
        evaluation: of the best detections of each class, without a limit per image.
        matches: its matches.
        groups: groups of the classes.
    """
    *arrays, iou_thresholds = evaluation
    metrics = summarize(*arrays, groups.frequency, iou_thresholds, groups.others)
    fixed = {f"{name}_fixed": v for name, v in metrics.items() if name.startswith("AP")}
    return fixed | {
        f"AP{suffix}_pool": pooled_average_precision(matches, members)
        for suffix, members in groups.by_suffix().items()
    }


def boundary_metrics(sides: Sides, dilation: float, groups: ClassGroups) -> dict[str, float]:
    """Boundary AP, see `boundary_overlaps`.

    Args:
        sides: masks of both sides.
        dilation: width of a boundary, as a share of the image's diagonal.
        groups: groups of the classes.
    """
    matches = find_matches(sides, IOU_THRESHOLDS, partial(boundary_overlaps, dilation=dilation))
    by_class = average_precision(matches)
    return {
        f"AP{suffix}_boundary": mean_present(by_class[members])
        for suffix, members in groups.by_suffix().items()
    }


def calibration(
    matches: Matches, groups: ClassGroups
) -> tuple[dict[str, float], dict[str, dict[str, Any]]]:
    """Calibration errors in percent, and the curves by group; see `calibration_curve`.

    Nothing, and a warning, where scores are no probabilities.
    """
    try:
        curve = partial(calibration_curve, matches)
        errors = {f"ECE{s}": 100 * curve(m)["ece"] for s, m in groups.by_suffix().items()}
        return errors, {name: curve(members) for name, members in groups.by_name().items()}
    except ValueError as error:
        logger.warning(f"No calibration error: {error}")
        return {}, {}


def analyse_errors(sides: Sides, names: Sequence[str], groups: ClassGroups) -> dict[str, Any]:
    """Shares of the kinds of errors, and confused classes; see `error_shares`, `confusions`.

    Args:
        sides: detections and ground truth.
        names: name of each class [K].
        groups: groups of the classes.
    """
    errors = find_errors(sides)
    return {
        "error_shares": error_shares(sides, errors, groups.by_name()),
        "confusion": confusions(sides, errors, names, groups.partition()),
    }
