"""Which classes objects are taken for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lt_det.evaluation.errors import Errors
from lt_det.evaluation.problem import Problem

__all__ = ["confusions"]


def confusions(
    problem: Problem, errors: Errors, names: Sequence[str], groups: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Count the objects of each class that are taken for another, see `find_errors`.

    Args:
        problem: detections and ground truth.
        errors: its errors.
        names: name of each class [K].
        groups: name -> whether each class is in the group [K]; each class is in one at most.

    Returns:
        A row for each confused pair of classes, by group and falling count: ``"class"`` is taken
        for ``"into"`` ``"count"`` times, a ``"share"`` of the class's objects; ``"group"`` and
        ``"into_group"`` are theirs, None without one.
    """
    truth, num_classes = problem.truth, len(names)
    num_truth = np.bincount(truth.class_index[~truth.ignored], minlength=num_classes)
    confused = (errors.taken_for >= 0) & (errors.taken_for != truth.class_index)
    pairs = truth.class_index[confused] * num_classes + errors.taken_for[confused]
    pairs, counts = np.unique(pairs, return_counts=True)
    group_of: list[str | None] = [None] * num_classes
    rank = np.full(num_classes, len(groups))
    for place, (group, members) in enumerate(groups.items()):
        for k in np.flatnonzero(members).tolist():
            group_of[k], rank[k] = group, place
    classes, into = np.divmod(pairs, num_classes)
    return [
        {
            "class": names[classes[i]],
            "into": names[into[i]],
            "count": int(counts[i]),
            "share": float(counts[i] / num_truth[classes[i]]),
            "group": group_of[classes[i]],
            "into_group": group_of[into[i]],
        }
        for i in np.lexsort((into, classes, -counts, rank[classes])).tolist()
    ]
