"""Which detections overlap which ground truth, and the matching of the official APIs on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pycocotools.mask as mask_utils

__all__ = ["Overlaps", "find_overlaps", "match"]


@dataclass(frozen=True)
class Overlaps:
    """P overlaps of a detection with a ground truth of the same image and class.

    Attributes:
        detections: position of each one's detection, rising [P].
        truths: position of each one's ground truth, rising for each detection [P].
        ious: intersection over union [P].
    """

    detections: np.ndarray
    truths: np.ndarray
    ious: np.ndarray


def find_overlaps(
    detection_pairs: np.ndarray,
    truth_pairs: np.ndarray,
    detections: Callable[[slice], Any],
    truths: Sequence[Any],
    crowd: np.ndarray,
    least_iou: float,
) -> Overlaps:
    """Overlaps of at least `least_iou`.

    Args:
        detection_pairs: (image, class) pair of each detection, as a rising number [N]; an image
            in place of a pair gives the overlaps between classes, too.
        truth_pairs: pair of each ground truth, rising [G].
        detections: gives boxes [n, 4] or run-length codes [n] of a slice of the detections.
        truths: boxes [G, 4] or run-length codes [G].
        crowd: ground truths with which the share of the detection inside counts as IoU [G].
        least_iou: smallest IoU of interest.
    """
    pairs, starts, counts = np.unique(truth_pairs, return_index=True, return_counts=True)
    first = np.searchsorted(detection_pairs, pairs)
    last = np.searchsorted(detection_pairs, pairs, side="right")
    present = last > first
    spans = (a[present].tolist() for a in (first, last, starts, counts))
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for begin, end, start, count in zip(*spans, strict=True):
        here = slice(start, start + count)
        ious = mask_utils.iou(
            detections(slice(begin, end)), truths[here], crowd[here].astype(np.uint8)
        )
        rows, columns = np.nonzero(ious >= least_iou)
        if len(rows):
            found.append((rows + begin, columns + start, ious[rows, columns]))
    return Overlaps(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def match(
    overlaps: Overlaps,
    detection_pairs: np.ndarray,
    ignored: np.ndarray,
    crowd: np.ndarray,
    iou_thresholds: np.ndarray,
) -> np.ndarray:
    """Match detections to ground truth as `lvis.LVISEval.evaluate_img` and pycocotools do.

    By falling score, a detection takes the free ground truth of the largest IoU, of equal ones the
    last; one that is ignored only if there is no other.

    Args:
        overlaps: between detections by pair, then falling score, and ground truths by pair.
        detection_pairs: (image, class) pair of each detection, rising [N].
        ignored: whether a ground truth is ignored [G].
        crowd: whether a ground truth stays free [G].
        iou_thresholds: [T].

    Returns:
        Position of the ground truth that each detection takes at each threshold, or -1 [T, N].
    """
    taken = np.full((len(iou_thresholds), len(detection_pairs)), -1, dtype=np.int32)
    free = np.ones((len(iou_thresholds), len(ignored)), dtype=bool)
    # In each detection's overlaps, the last that is free and high enough is the one to take.
    order = np.lexsort(
        (overlaps.truths, overlaps.ious, ~ignored[overlaps.truths], overlaps.detections)
    )
    detections, truths = overlaps.detections[order], overlaps.truths[order]
    high = overlaps.ious[order] >= np.minimum(iou_thresholds, 1 - 1e-10)[:, None]
    for part in _rounds(detections, detection_pairs):
        candidates = np.where(free[:, truths[part]] & high[:, part], part, -1)
        starts = np.flatnonzero(np.diff(detections[part], prepend=-1))
        best = np.maximum.reduceat(candidates, starts, axis=1)
        rows, columns = np.nonzero(best >= 0)
        chosen = truths[best[rows, columns]]
        taken[rows, detections[part][starts][columns]] = chosen
        free[rows, chosen] = crowd[chosen]
    return taken


def _rounds(detections: np.ndarray, detection_pairs: np.ndarray) -> Iterator[np.ndarray]:
    """Overlaps of every pair's first detection, then of every pair's second one, and so on.

    Yields:
        Positions in `detections`, rising.
    """
    starts = np.flatnonzero(np.diff(detections, prepend=-1))
    pairs = detection_pairs[detections[starts]]
    firsts = np.flatnonzero(np.diff(pairs, prepend=-1))
    rank = np.arange(len(starts)) - np.repeat(firsts, np.diff(firsts, append=len(starts)))
    rank_of_overlap = np.repeat(rank, np.diff(starts, append=len(detections)))
    order = np.argsort(rank_of_overlap, kind="stable")
    ends = np.cumsum(np.bincount(rank_of_overlap))
    yield from np.split(order, ends[:-1]) if len(ends) else ()
