"""Why detections are wrong: each false positive's kind, and what is detected where an object is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from lt_det.evaluation.matching.overlaps import Overlaps, find_overlaps
from lt_det.evaluation.matching.sides import Sides

__all__ = ["BACKGROUND", "BOTH", "CLASS", "DUPLICATE", "LOCATION", "Errors", "find_errors"]

CLASS, LOCATION, BOTH, DUPLICATE, BACKGROUND = range(5)

IOU_OF_MATCH = 0.5
IOU_OF_BACKGROUND = 0.1


@dataclass(frozen=True)
class Errors:
    """The errors of N detections and G ground truths, at IoU 0.5.

    Attributes:
        is_tp: whether each detection is a true positive [N].
        is_fp: whether each detection is a false positive; the others do not count [N].
        kind: error of each detection; of a true positive it means nothing [N].
        target: ground truth that a detection of kind `CLASS` or `LOCATION` should have matched; -1
            for the others and where a detection matches it [N].
        missed: whether nothing matches a ground truth that counts [G].
        taken_for: class of the most confident detection on each ground truth that counts, else -1
            [G].
    """

    is_tp: np.ndarray
    is_fp: np.ndarray
    kind: np.ndarray
    target: np.ndarray
    missed: np.ndarray
    taken_for: np.ndarray


def find_errors(sides: Sides, score_threshold: float = 0.05) -> Errors:
    """Classify detections and objects.

    The kinds are those of TIDE (Bolya et al., arXiv 2008.08115), in the order in which the released
    code (tidecv 1.0.1) asks for them. IoUs are with the objects that count:

    - `LOCATION`: 0.1 to 0.5 with an object of its class.
    - `CLASS`: at least 0.5 with an object of another class.
    - `DUPLICATE`: at least 0.5 with a matched object of its class.
    - `BACKGROUND`: at most 0.1 with any.
    - `BOTH`: everything else.

    An object is taken for the class of the most confident detection that overlaps it by at least
    0.5. A detection of another class only counts here if it is a false positive, so not where it
    matches an object of its own or where its class is not verified or not annotated exhaustively.

    Args:
        sides: detections and ground truth.
        score_threshold: least score of a detection that an object can be taken for.
    """
    overlaps = _of_all_classes(sides)
    is_same = sides.pairs[overlaps.detections] == sides.truth_pairs[overlaps.truths]
    taken = sides.match(_chosen(overlaps, is_same), np.array([IOU_OF_MATCH]))[0]
    is_tp = (taken >= 0) & ~np.append(sides.ignored, False)[taken]
    is_fp = (taken < 0) & sides.counts
    missed = ~sides.ignored
    missed[taken[taken >= 0]] = False

    counted = ~sides.ignored[overlaps.truths]
    of_class, of_others = (_chosen(overlaps, counted & which) for which in (is_same, ~is_same))
    kind, target = _kinds(len(taken), of_class, of_others, missed)
    target = np.where(is_tp | ~np.append(missed, False)[target], -1, target)

    seen = counted & (overlaps.ious >= IOU_OF_MATCH) & (is_same | is_fp[overlaps.detections])
    seen &= sides.columns.scores[overlaps.detections] >= score_threshold
    taken_for = _most_confident_class(sides, _chosen(overlaps, seen))
    return Errors(is_tp, is_fp, kind, target, missed, taken_for)


def _of_all_classes(sides: Sides) -> Overlaps:
    """Overlaps within each image of at least `IOU_OF_BACKGROUND`."""
    num_images = len(sides.truth.image_ids)
    images = [pairs % num_images for pairs in (sides.pairs, sides.truth_pairs)]
    orders = [np.argsort(image, kind="stable") for image in images]
    overlaps = find_overlaps(
        *(image[order] for image, order in zip(images, orders, strict=True)),
        partial(sides.columns.reordered(orders[0]).shapes, sides.task),
        sides.truth.shapes(sides.task, sides.truth_positions[orders[1]]),
        sides.crowd[orders[1]],
        IOU_OF_BACKGROUND,
    )
    places = orders[0][overlaps.detections], orders[1][overlaps.truths]
    return Overlaps(*places, overlaps.ious)


def _chosen(overlaps: Overlaps, which: np.ndarray) -> Overlaps:
    return Overlaps(overlaps.detections[which], overlaps.truths[which], overlaps.ious[which])


def _kinds(
    num_detections: int, of_class: Overlaps, of_others: Overlaps, missed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Kind and target of each detection, were it wrong [N].

    Args:
        num_detections: N.
        of_class: overlaps with objects of the detection's class that count.
        of_others: with those of other classes.
        missed: whether nothing matches a ground truth [G].
    """
    found = _chosen(of_class, ~missed[of_class.truths])
    (best, own), (other, others), (best_found, _) = (
        _best(num_detections, o) for o in (of_class, of_others, found)
    )
    conditions = {
        LOCATION: (best >= IOU_OF_BACKGROUND) & (best <= IOU_OF_MATCH),
        CLASS: other >= IOU_OF_MATCH,
        DUPLICATE: best_found >= IOU_OF_MATCH,
        BACKGROUND: np.maximum(best, other) <= IOU_OF_BACKGROUND,
    }
    kind = np.select(list(conditions.values()), list(conditions), default=BOTH)
    return kind, np.select([kind == LOCATION, kind == CLASS], [own, others], default=-1)


def _best(num_detections: int, overlaps: Overlaps) -> tuple[np.ndarray, np.ndarray]:
    """Largest IoU of each detection and the first ground truth that has it; 0 and -1 without."""
    iou, truth = np.zeros(num_detections), np.full(num_detections, -1)
    # Of several writes to one place the last stays.
    order = np.lexsort((-overlaps.truths, overlaps.ious))
    iou[overlaps.detections[order]] = overlaps.ious[order]
    truth[overlaps.detections[order]] = overlaps.truths[order]
    return iou, truth


def _most_confident_class(sides: Sides, overlaps: Overlaps) -> np.ndarray:
    """Class of the detection of the highest score on each ground truth, -1 for none [G]."""
    order = np.lexsort((overlaps.ious, sides.columns.scores[overlaps.detections]))
    classes = np.full(len(sides.truth_pairs), -1)
    num_images = len(sides.truth.image_ids)
    classes[overlaps.truths[order]] = sides.pairs[overlaps.detections[order]] // num_images
    return classes
