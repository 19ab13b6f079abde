"""The matching of both official APIs, and what they accumulate from it, vectorised.

Pure NumPy, for IoUs of any kind: the APIs compute theirs themselves.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lt_det.evaluation.group_metrics import IOU_THRESHOLDS, RECALL_THRESHOLDS, Evaluation
from lt_det.evaluation.problem import AREA_RANGES, Problem

__all__ = ["evaluate_overlaps", "match", "precision_recall"]

Overlaps = Callable[[Problem, slice, slice], np.ndarray]
"""IoU of the detections and the objects of an image and class [n, m]."""


def match(
    overlaps: np.ndarray, thresholds: np.ndarray, ignored: np.ndarray, crowd: np.ndarray
) -> np.ndarray:
    """Give each detection, best score first, the free object that it overlaps most.

    As in `lvis.LVISEval.evaluate_img` and `COCOeval.evaluateImg`: an object that counts goes before
    one that is ignored, of equal IoUs the later object is taken, and a crowd is never used up.

    Args:
        overlaps: IoU of detections, by falling score, and objects [n, m].
        thresholds: least IoU of a match [T].
        ignored: whether each object is ignored, under each of A conditions [A, m].
        crowd: whether each object takes any number of detections [m].

    Returns:
        Object of each detection, -1 for none [A, T, n].
    """
    num_found, num_truth = overlaps.shape
    matches = np.full((len(ignored), len(thresholds), num_found), -1, dtype=np.int32)
    least = np.minimum(thresholds, 1 - 1e-10)
    if num_truth == 0 or len(least) == 0:
        return matches
    free = np.ones((len(ignored), len(thresholds), num_truth), dtype=bool)
    for n in np.flatnonzero(overlaps.max(axis=1) >= least.min()):
        rank = np.empty(num_truth, dtype=np.int64)
        rank[np.argsort(overlaps[n], kind="stable")] = np.arange(num_truth)
        preference = (rank + num_truth * ~ignored)[:, None]
        possible = free & (overlaps[n] >= least[:, None])
        best = np.where(possible, preference, -1).argmax(axis=2)
        a, t = np.nonzero(possible.any(axis=2))
        matches[a, t, n] = best[a, t]
        free[a, t, best[a, t]] = crowd[best[a, t]]
    return matches


def precision_recall(
    tp: np.ndarray, fp: np.ndarray, num_truth: int
) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate precision as both APIs accumulate it.

    Args:
        tp: whether each detection, by falling score, is a true positive [..., n].
        fp: whether each is a false positive [..., n]; one that is neither does not count.
        num_truth: objects that count, at least 1.

    Returns:
        Precision at 101 recalls [..., R] and final recall [...].
    """
    tp_sum, fp_sum = (np.cumsum(x, axis=-1, dtype=np.float64) for x in (tp, fp))
    precision = tp_sum / (fp_sum + tp_sum + np.spacing(1))
    envelope = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
    recall = tp_sum / num_truth
    shape = tp.shape[:-1]
    points = np.zeros((*shape, len(RECALL_THRESHOLDS)))
    for row in np.ndindex(shape):
        first = np.searchsorted(recall[row], RECALL_THRESHOLDS)
        reached = first < tp.shape[-1]
        points[row][reached] = envelope[row][first[reached]]
    return points, recall[..., -1] if tp.shape[-1] else np.zeros(shape)


def evaluate_overlaps(problem: Problem, overlaps: Overlaps) -> Evaluation:
    """Evaluate a problem by any IoU, as its API would with that IoU.

    Args:
        problem: detections and ground truth.
        overlaps: the IoU; it is asked for each image and class that has both.

    Returns:
        The API's arrays, over `IOU_THRESHOLDS` and `AREA_RANGES`.
    """
    found, truth, num_classes = problem.found, problem.truth, len(problem.category_ids)
    truth_ignored = _outside(truth.area) | truth.ignored
    tp, fp = _outcomes(problem, overlaps, truth_ignored)
    shape = len(IOU_THRESHOLDS), len(RECALL_THRESHOLDS), num_classes, len(AREA_RANGES)
    precision = np.full(shape, -1.0)
    recall = np.full((shape[0], *shape[2:]), -1.0)
    found_bounds, truth_bounds = (
        np.searchsorted(o.class_index, np.arange(num_classes + 1)) for o in (found, truth)
    )
    for k in range(num_classes):
        order = np.arange(*found_bounds[k : k + 2])
        order = order[np.argsort(-found.score[order], kind="stable")]
        num_truth = np.sum(~truth_ignored[:, slice(*truth_bounds[k : k + 2])], axis=1)
        for a in np.flatnonzero(num_truth):
            curve = precision_recall(tp[a][:, order], fp[a][:, order], num_truth[a])
            precision[:, :, k, a], recall[:, k, a] = curve
    return Evaluation(precision, recall, IOU_THRESHOLDS)


def _outcomes(
    problem: Problem, overlaps: Overlaps, truth_ignored: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives in each area range, at each IoU threshold [A, T, N]."""
    found, truth = problem.found, problem.truth
    matched = np.zeros((len(AREA_RANGES), len(IOU_THRESHOLDS), len(found)), dtype=bool)
    counts = np.repeat(~(_outside(found.area) | found.ignored)[:, None], matched.shape[1], axis=1)
    for dets, gts in problem.cells():
        ignored = truth_ignored[:, gts]
        object_of = match(overlaps(problem, dets, gts), IOU_THRESHOLDS, ignored, truth.crowd[gts])
        hit = matched[..., dets] = object_of >= 0
        of_object = np.take_along_axis(ignored[:, None], np.maximum(object_of, 0), axis=2)
        counts[..., dets] = np.where(hit, ~of_object, counts[..., dets])
    return matched & counts, ~matched & counts


def _outside(area: np.ndarray) -> np.ndarray:
    """Whether each object is outside of each area range [A, n]."""
    return (area < AREA_RANGES[:, :1]) | (area > AREA_RANGES[:, 1:])
