"""Proposed thresholds divide the classes most evenly, and only where three groups can be made."""

import itertools

import numpy as np
import pytest

from lt_det.class_stats import ClassStats
from lt_det.data.splits.threshold_proposal import propose_thresholds, thresholds_hint


def stats(counts):
    counts = np.array(counts)
    return ClassStats(len(counts), max(int(counts.max()), 1), counts, counts)


def sizes(counts, low, high):
    """Classes with images in each group, counted one by one."""
    seen = [c for c in counts if c > 0]
    return (
        sum(c <= low for c in seen),
        sum(low < c <= high for c in seen),
        sum(c > high for c in seen),
    )


@pytest.mark.parametrize("seed", range(20))
def test_no_other_thresholds_have_a_larger_smallest_group(seed):
    rng = np.random.default_rng(seed)
    counts = rng.geometric(0.1, size=rng.integers(3, 25)) - 1
    best = max(
        min(sizes(counts, low, high))
        for low, high in itertools.combinations(range(1, int(counts.max()) + 3), 2)
    )
    found = propose_thresholds(counts)
    if best < 3:
        assert found is None
    else:
        assert 0 < found[0] < found[1] < counts.max()
        assert min(sizes(counts, *found)) == best


def test_nine_different_counts_divide_into_thirds():
    assert propose_thresholds(np.arange(1, 10)) == (3, 6)


@pytest.mark.parametrize("counts", [[5] * 40, [1] * 20 + [9] * 20, list(range(1, 9)), [0] * 9, [1]])
def test_counts_that_allow_no_three_groups(counts):
    assert propose_thresholds(np.array(counts)) is None


def test_a_hint_names_the_small_group_and_the_groups_to_come():
    text = thresholds_hint(stats([2, 3, 4, 20, 30, 40, 50, 60, 101]), (10, 100))
    assert "Thresholds 10 and 100 leave 1 frequent of 9 classes" in text
    assert "--thresholds 4 40 (DATASETS.GROUP_THRESHOLDS) makes groups of 3, 3 and 3" in text


def test_a_hint_says_that_nothing_can_be_done():
    text = thresholds_hint(stats([1, 2, 3]), (10, 100))
    assert "leave 0 common and 0 frequent of 3 classes" in text
    assert "No thresholds make three groups of 3 classes or more" in text


def test_classes_without_training_objects_fill_no_group():
    assert thresholds_hint(stats([1, 2, 3, 4, 5, 6, 7, 8, 9]), (3, 6)) == ""
    assert "2 rare" in thresholds_hint(stats([0, 0, 0, 2, 3, 4, 5, 6, 7, 8, 9]), (3, 6))
