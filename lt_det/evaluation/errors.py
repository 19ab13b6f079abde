"""Why detections are wrong: each false positive's kind, and what is detected where an object is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lt_det.evaluation.matching import match
from lt_det.evaluation.problem import Problem

__all__ = ["BOTH", "CLASS", "DUPLICATE", "LOCATION", "NO_ERROR", "Errors", "find_errors"]

NO_ERROR, CLASS, LOCATION, BOTH, DUPLICATE, BACKGROUND = range(-1, 5)

IOU_OF_MATCH = 0.5
IOU_OF_BACKGROUND = 0.1


@dataclass(frozen=True)
class Errors:
    """The errors of a `Problem` with N detections and G objects, at IoU 0.5.

    Attributes:
        matched: object that each detection matches, -1 for none [N].
        kind: error of each detection that is no true positive, otherwise `NO_ERROR` [N].
        target: object that a detection with `CLASS` or `LOCATION` should have matched, else -1 [N].
        taken_for: class of the most confident detection on each object, -1 for none [G].
    """

    matched: np.ndarray
    kind: np.ndarray
    target: np.ndarray
    taken_for: np.ndarray


def find_errors(problem: Problem, score_threshold: float = 0.05) -> Errors:
    """Classify detections and objects, image by image.

    The kinds are those of TIDE (Bolya et al., arXiv 2008.08115), in the order in which the released
    code (tidecv 1.0.1) asks for them. IoUs are with the objects that count:

    - `LOCATION`: 0.1 to 0.5 with an object of its class.
    - `CLASS`: at least 0.5 with an object of another class.
    - `DUPLICATE`: at least 0.5 with a matched object of its class.
    - `BACKGROUND`: at most 0.1 with any.
    - `BOTH`: everything else.

    An object is taken for the class of the most confident detection that overlaps it by at least
    0.5. Detections of another class count here only as false positives, which need a class that is
    verified in the picture and is annotated exhaustively: so a detection of another, overlapping
    object is no confusion, and LVIS's unverified classes are none.

    Args:
        problem: detections and ground truth.
        score_threshold: least score of a detection that an object can be taken for.
    """
    found, truth = problem.found, problem.truth
    errors = Errors(
        matched=np.full(len(found), -1),
        kind=np.full(len(found), NO_ERROR),
        target=np.full(len(found), -1),
        taken_for=np.full(len(truth), -1),
    )
    for dets, gts in problem.images():
        ious = problem.overlaps(dets, gts)
        same = found.class_index[dets][:, None] == truth.class_index[gts]
        of_image = truth.ignored[gts][None], truth.crowd[gts]
        place = match(np.where(same, ious, -1), np.array([IOU_OF_MATCH]), *of_image)[0, 0]
        errors.matched[dets[place >= 0]] = gts[place[place >= 0]]
        counts = ~truth.ignored[gts]
        wrong = (place < 0) | ~np.append(counts, False)[place]
        is_false = (place < 0) & ~found.ignored[dets]
        gts, ious, same = gts[counts], ious[:, counts], same[:, counts]
        if len(gts) == 0:
            errors.kind[dets[wrong]] = BACKGROUND
            continue
        used = np.isin(gts, errors.matched[dets])
        kind, target = _kinds(ious, same, used)
        errors.kind[dets] = np.where(wrong, kind, NO_ERROR)
        errors.target[dets] = np.where(wrong & (target >= 0), gts[target], -1)
        seen = (ious >= IOU_OF_MATCH) & (found.score[dets] >= score_threshold)[:, None]
        seen &= same | is_false[:, None]
        first = found.class_index[dets[seen.argmax(axis=0)]]
        errors.taken_for[gts] = np.where(seen.any(axis=0), first, -1)
    return errors


def _kinds(ious: np.ndarray, same: np.ndarray, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kind and target of each detection, were it wrong.

    Args:
        ious: with the objects that count [n, m], m at least 1.
        same: whether the classes are the same [n, m].
        used: whether a detection matches each object [m].
    """
    of_class, of_others = np.where(same, ious, 0), np.where(same, 0, ious)
    best = of_class.max(axis=1)
    conditions = {
        LOCATION: (best >= IOU_OF_BACKGROUND) & (best <= IOU_OF_MATCH),
        CLASS: of_others.max(axis=1) >= IOU_OF_MATCH,
        DUPLICATE: (of_class * used).max(axis=1) >= IOU_OF_MATCH,
        BACKGROUND: ious.max(axis=1) <= IOU_OF_BACKGROUND,
    }
    kind = np.select(list(conditions.values()), list(conditions), default=BOTH)
    targets = [of_class.argmax(axis=1), of_others.argmax(axis=1)]
    return kind, np.select([kind == LOCATION, kind == CLASS], targets, default=-1)
