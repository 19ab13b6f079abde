"""What AP50 each kind of error costs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lt_det.evaluation.matching.matches import Matches
from lt_det.evaluation.matching.sides import Sides
from lt_det.evaluation.metrics.bootstrap import average_precision
from lt_det.evaluation.metrics.errors import BACKGROUND, BOTH, CLASS, DUPLICATE, LOCATION, Errors
from lt_det.evaluation.metrics.group_metrics import mean_present

__all__ = ["ERROR_NAMES", "error_shares"]

_KINDS = {"Cls": CLASS, "Loc": LOCATION, "Both": BOTH, "Dupe": DUPLICATE, "Bkg": BACKGROUND}

ERROR_NAMES = (*_KINDS, "Miss")
"""As in TIDE: wrong class, wrong place, both, duplicate, background, missed object."""


def error_shares(
    sides: Sides, errors: Errors, groups: Mapping[str, np.ndarray]
) -> dict[str, dict[str, float]]:
    """Gain in AP50 if all errors of one kind were mended and no other.

    TIDE (Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV
    2020, arXiv 2008.08115), as released (tidecv 1.0.1). Of the detections with a wrong class or
    place, mending gives the most confident one to the object it meant, if nothing else matches
    that, and removes the others. It removes other false positives, and takes the missed objects
    that no such detection could mend out of the ground truth. The gains do not add up to what is
    missing, and none is below 0.

    Deliberate differences, by which the AP50 that is mended is the official API's:

    - Classes without ground truth are left out; in tidecv they enter with AP 0.
    - Detections on unverified classes are left out; in tidecv mending them counts.
    - Of equal IoUs the later object matches, equal scores keep the API's order, and a recall
      threshold is the API's, which may be above tidecv's in its last bit.

    Args:
        sides: detections and ground truth.
        errors: their errors.
        groups: name -> whether each class is in the group [K]; the gain is in the group's AP50,
            the mean over its classes.

    Returns:
        Group -> error -> percent, for each of `ERROR_NAMES`; NaN for groups without ground truth,
        and for misses of a group in which there is no detection.
    """
    num_images = len(sides.truth.image_ids)
    classes, truth_classes = sides.pairs // num_images, sides.truth_pairs // num_images
    is_mended = _is_mended(sides, errors)
    out_of_reach = errors.missed.copy()
    out_of_reach[errors.target[errors.target >= 0]] = False

    def average_precision_50(kind: int | None, is_there: np.ndarray) -> np.ndarray:
        mended = is_mended & (errors.kind == kind)
        kept = errors.is_tp | mended | (errors.is_fp & (errors.kind != kind))
        new_classes = np.where(mended, np.append(truth_classes, -1)[errors.target], classes)
        return _average_precision(sides, kept, errors.is_tp | mended, new_classes, is_there)

    base = average_precision_50(None, ~sides.ignored)
    fixed = {name: average_precision_50(kind, ~sides.ignored) for name, kind in _KINDS.items()}
    fixed["Miss"] = average_precision_50(None, ~sides.ignored & ~out_of_reach)
    # As in tidecv, a class of missed objects alone then has AP 0, or none without a detection.
    has_false = np.bincount(classes[errors.is_fp], minlength=len(base)) > 0
    fixed["Miss"][np.isnan(fixed["Miss"]) & has_false] = 0
    counts = ~np.isnan(base)
    return {
        name: {
            error: max(
                mean_present(ap[members & counts]) - mean_present(base[members & counts]), 0.0
            )
            for error, ap in fixed.items()
        }
        for name, members in groups.items()
    }


def _is_mended(sides: Sides, errors: Errors) -> np.ndarray:
    """Whether mending its error makes each detection a true positive [N]."""
    wanted = np.flatnonzero(errors.target >= 0)
    order = wanted[np.argsort(-sides.columns.scores[wanted], kind="stable")]
    _, first = np.unique(errors.target[order], return_index=True)
    is_mended = np.zeros(len(sides.pairs), dtype=bool)
    is_mended[order[first]] = True
    return is_mended


def _average_precision(
    sides: Sides,
    kept: np.ndarray,
    is_tp: np.ndarray,
    classes: np.ndarray,
    is_there: np.ndarray,
) -> np.ndarray:
    """AP of each class in percent [K], NaN without ground truth.

    Args:
        sides: detections and ground truth.
        kept: whether each detection counts [N].
        is_tp: whether it is a true positive [N].
        classes: class of each detection [N].
        is_there: whether each ground truth counts [G].
    """
    truth, num_images = sides.truth, len(sides.truth.image_ids)
    dets = np.flatnonzero(kept)
    dets = dets[np.argsort(classes[dets], kind="stable")]
    gt_pairs, gt_count = np.unique(sides.truth_pairs[is_there], return_counts=True)
    matches = Matches(
        image_ids=truth.image_ids,
        category_ids=truth.category_ids,
        image_index=sides.pairs[dets] % num_images,
        class_index=classes[dets],
        score=sides.columns.scores[dets],
        matched=is_tp[None, dets],
        ignored=np.zeros((1, len(dets)), dtype=bool),
        gt_image_index=gt_pairs % num_images,
        gt_class_index=gt_pairs // num_images,
        gt_count=gt_count,
    )
    return average_precision(matches)
