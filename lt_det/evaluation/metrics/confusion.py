"""Which classes objects are taken for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lt_det.evaluation.matching.sides import Sides
from lt_det.evaluation.metrics.errors import Errors

__all__ = ["confusions"]


def confusions(
    sides: Sides, errors: Errors, names: Sequence[str], groups: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Count the objects of each class that are taken for another, see `find_errors`.

    Args:
        sides: detections and ground truth.
        errors: their errors.
        names: name of each class [K].
        groups: name -> whether each class is in the group [K]; a class is in one at most.

    Returns:
        A row for each confused pair of classes, by group, then falling count: ``"class"`` is taken
        for ``"into"`` ``"count"`` times, a ``"share"`` of the class's objects; ``"group"`` and
        ``"into_group"`` are theirs, None without one.
    """
    num_classes = len(names)
    classes = sides.truth_pairs // len(sides.truth.image_ids)
    num_truth = np.bincount(classes[~sides.ignored], minlength=num_classes)
    confused = (errors.taken_for >= 0) & (errors.taken_for != classes)
    pairs = classes[confused] * num_classes + errors.taken_for[confused]
    pairs, counts = np.unique(pairs, return_counts=True)
    classes, into = np.divmod(pairs, num_classes)
    group_names = [*groups, None]
    group_of = np.full(num_classes, len(groups))
    for place, members in enumerate(groups.values()):
        group_of[members] = place
    return [
        {
            "class": names[classes[i]],
            "into": names[into[i]],
            "count": int(counts[i]),
            "share": float(counts[i] / num_truth[classes[i]]),
            "group": group_names[group_of[classes[i]]],
            "into_group": group_names[group_of[into[i]]],
        }
        for i in np.lexsort((pairs, -counts, group_of[classes])).tolist()
    ]
