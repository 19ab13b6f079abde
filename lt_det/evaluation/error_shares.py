"""What AP50 each kind of error costs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lt_det.evaluation.errors import BACKGROUND, BOTH, CLASS, DUPLICATE, LOCATION, NO_ERROR, Errors
from lt_det.evaluation.matching import precision_recall
from lt_det.evaluation.problem import Problem

__all__ = ["ERROR_NAMES", "error_shares"]

_KINDS = {"Cls": CLASS, "Loc": LOCATION, "Both": BOTH, "Dupe": DUPLICATE, "Bkg": BACKGROUND}

ERROR_NAMES = (*_KINDS, "Miss")
"""As in TIDE: wrong class, wrong place, both, duplicate, background, missed object."""


def error_shares(
    problem: Problem, errors: Errors, groups: Mapping[str, np.ndarray]
) -> dict[str, dict[str, float]]:
    """Gain in AP50 if all errors of one kind were mended and no other.

    TIDE (Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV
    2020, arXiv 2008.08115), as released (tidecv 1.0.1). Mending gives the most confident detection
    with a wrong class or place to the object it meant if that is free, and removes the others;
    removes other false positives; and takes missed objects, which no such detection could mend, out
    of the ground truth. Shares do not add up to what is missing, and are never negative.

    Deliberate differences, all of which make the base AP50 the official API's:

    - classes without ground truth are left out (in tidecv they enter with AP 0);
    - detections on unverified classes are left out (in tidecv their mending counts);
    - of equal IoUs the later object matches, and of equal scores the API's order holds.

    Args:
        problem: detections and ground truth.
        errors: its errors.
        groups: name -> whether each class is in the group [K]; the gain is in the group's AP50,
            the mean over its classes.

    Returns:
        Group -> error -> percent, for each of `ERROR_NAMES`; NaN for groups without ground truth.
    """
    found, truth = problem.found, problem.truth
    num_classes = len(problem.category_ids)
    num_truth = np.bincount(truth.class_index[~truth.ignored], minlength=num_classes)
    is_tp = (errors.matched >= 0) & (errors.kind == NO_ERROR)
    is_fp = (errors.matched < 0) & ~found.ignored
    mended, missed = _mended(problem, errors)

    def average_precision(left_out: int, num_truth: np.ndarray) -> np.ndarray:
        gained = mended & (errors.kind == left_out)
        chosen = np.flatnonzero(is_tp | gained | (is_fp & (errors.kind != left_out)))
        tp = (is_tp | gained)[chosen]
        class_index = np.where(gained, truth.class_index[errors.target], found.class_index)
        return _average_precisions(class_index[chosen], found.score[chosen], tp, num_truth)

    base = average_precision(NO_ERROR, num_truth)
    fixed = {name: average_precision(kind, num_truth) for name, kind in _KINDS.items()}
    fixed["Miss"] = average_precision(NO_ERROR, num_truth - missed)
    counts = num_truth > 0
    return {
        name: {
            error: max(_mean(ap[members & counts]) - _mean(base[members & counts]), 0.0)
            for error, ap in fixed.items()
        }
        for name, members in groups.items()
    }


def _mended(problem: Problem, errors: Errors) -> tuple[np.ndarray, np.ndarray]:
    """Whether mending makes a detection a true positive [N], and objects missed per class [K]."""
    found, truth = problem.found, problem.truth
    is_free = ~truth.ignored
    is_free[errors.matched[errors.matched >= 0]] = False
    wanted = np.flatnonzero(errors.target >= 0)
    wanted = wanted[is_free[errors.target[wanted]]]
    order = wanted[np.lexsort((found.source[wanted], -found.score[wanted]))]
    objects, first = np.unique(errors.target[order], return_index=True)
    mended = np.zeros(len(found), dtype=bool)
    mended[order[first]] = True
    is_free[objects] = False
    return mended, np.bincount(truth.class_index[is_free], minlength=len(problem.category_ids))


def _average_precisions(
    class_index: np.ndarray, score: np.ndarray, tp: np.ndarray, num_truth: np.ndarray
) -> np.ndarray:
    """AP of each class in percent [K]; without objects 0, as in tidecv, or NaN if nothing is left.

    Args:
        class_index: class of each detection that counts [N].
        score: scores [N].
        tp: whether it is a true positive [N].
        num_truth: objects of each class [K].
    """
    order = np.lexsort((-score, class_index))
    bounds = np.searchsorted(class_index[order], np.arange(len(num_truth) + 1))
    ap = np.where((num_truth == 0) & (np.diff(bounds) == 0), np.nan, 0.0)
    for k in np.flatnonzero((num_truth > 0) & (np.diff(bounds) > 0)):
        of_class = tp[order[bounds[k] : bounds[k + 1]]]
        ap[k] = 100 * precision_recall(of_class, ~of_class, num_truth[k])[0].mean()
    return ap


def _mean(values: np.ndarray) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")
