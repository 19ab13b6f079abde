import numpy as np

from lt_det.evaluation.metrics.class_groups import ClassGroups

OTHERS = {"seen": np.array([True, True, False]), "unseen": np.array([False, False, True])}


def members(groups):
    return {name: np.flatnonzero(m).tolist() for name, m in groups.items()}


def test_groups_by_frequency_and_others():
    groups = ClassGroups(np.array([0, 2, -1]), OTHERS)
    assert members(groups.by_suffix()) == {
        **{"": [0, 1, 2], "r": [0], "c": [], "f": [1]},
        **{"_seen": [0, 1], "_unseen": [2]},
    }
    assert members(groups.by_name()) == {
        **{"all": [0, 1, 2], "rare": [0], "frequent": [1]},
        **{"seen": [0, 1], "unseen": [2]},
    }
    assert members(groups.partition()) == {"rare": [0], "frequent": [1]}


def test_without_frequencies_the_others_part_the_classes():
    groups = ClassGroups(np.array([-1, -1, -1]), OTHERS)
    assert members(groups.partition()) == {"seen": [0, 1], "unseen": [2]}
    assert list(groups.by_name()) == ["all", "seen", "unseen"]
