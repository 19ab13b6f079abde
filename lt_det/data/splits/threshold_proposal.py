"""Find group thresholds that leave enough classes in each group."""

from __future__ import annotations

import numpy as np

from lt_det.class_stats import GROUP_NAMES, ClassStats

__all__ = ["FEWEST_CLASSES", "propose_thresholds", "thresholds_hint"]

# A group's AP that averages fewer classes says little.
FEWEST_CLASSES = 3


def thresholds_hint(stats: ClassStats, thresholds: tuple[int, int]) -> str:
    """Say which groups have too few classes, and which thresholds would be better.

    Args:
        stats: counts of the training set.
        thresholds: image counts that end the rare and the common group.

    Returns:
        Sentences; "" if each group has at least three classes with training objects.
    """
    sizes = _sizes(stats.image_count, thresholds)
    small = [
        f"{size} {name}" for name, size in zip(GROUP_NAMES, sizes, strict=True)
        if size < FEWEST_CLASSES
    ]  # fmt: skip
    if not small:
        return ""
    problem = (
        f"Thresholds {thresholds[0]} and {thresholds[1]} leave {' and '.join(small)} of "
        f"{sum(sizes)} classes with training objects: the AP of such a group says little."
    )
    proposal = propose_thresholds(stats.image_count)
    if proposal is None:
        return (
            f"{problem} No thresholds make three groups of {FEWEST_CLASSES} classes or more: "
            "there are too few classes, or too few different image counts."
        )
    first, second, third = _sizes(stats.image_count, proposal)
    return (
        f"{problem} --thresholds {proposal[0]} {proposal[1]} (DATASETS.GROUP_THRESHOLDS) makes "
        f"groups of {first}, {second} and {third}: the image counts at which the classes divide "
        "most nearly into thirds."
    )


def propose_thresholds(image_count: np.ndarray) -> tuple[int, int] | None:
    """Choose the thresholds that divide the classes most nearly into thirds.

    Thresholds are image counts of classes, so each pair that divides the classes in another way is
    tried. The best has the largest smallest group, then the smallest largest one, then the lowest
    thresholds.

    Args:
        image_count: images of each class [K]; classes without images are left out.

    Returns:
        Image counts that end the rare and the common group; None if a group would have fewer than
        three classes in any case.
    """
    counts = np.sort(image_count[image_count > 0])
    # The largest count as a threshold would leave no frequent class.
    candidates = np.unique(counts)[:-1]
    if len(candidates) < 2:
        return None
    up_to = np.searchsorted(counts, candidates, side="right")
    low, high = np.triu_indices(len(candidates), k=1)
    sizes = np.stack([up_to[low], up_to[high] - up_to[low], len(counts) - up_to[high]])
    best = np.lexsort((high, low, sizes.max(axis=0), -sizes.min(axis=0)))[0]
    if sizes[:, best].min() < FEWEST_CLASSES:
        return None
    return int(candidates[low[best]]), int(candidates[high[best]])


def _sizes(image_count: np.ndarray, thresholds: tuple[int, int]) -> list[int]:
    """Number of classes with training images in each group."""
    groups = np.searchsorted(thresholds, image_count[image_count > 0], side="left")
    return np.bincount(groups, minlength=len(GROUP_NAMES)).tolist()
