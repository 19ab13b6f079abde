"""Groups are those that the evaluation of a trainer takes."""

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from lt_det.class_stats import ClassStats
from lt_det.data.splits.evaluation_groups import groups_of_evaluation
from lt_det.data.splits.splits import Split

COUNTS = np.array([1, 11, 101])
TRAINING = Split("t", ("a", "b", "c"), ClassStats(3, 101, COUNTS, COUNTS), ())


def content(letters="fcr"):
    """Categories in the reverse order of their ids."""
    ids = (9, 5, 2)
    return {
        "categories": [{"id": i, "frequency": f} for i, f in zip(ids, letters[::-1], strict=True)]
    }


@pytest.fixture
def name():
    """Registers a set of a format."""
    names = []

    def _register(evaluator_type):
        names.append(f"lt_det_test_groups_{evaluator_type}")
        DatasetCatalog.register(names[-1], list)
        MetadataCatalog.get(names[-1]).evaluator_type = evaluator_type
        return names[-1]

    yield _register
    for registered in names:
        DatasetCatalog.remove(registered)
        MetadataCatalog.remove(registered)


def test_an_lvis_file_keeps_its_frequency_unless_thresholds_are_given(name):
    lvis = name("lvis")
    found = groups_of_evaluation(lvis, content(), None, TRAINING)
    assert (found.groups.tolist(), found.source, found.thresholds) == ([2, 1, 0], "", None)
    found = groups_of_evaluation(lvis, content(), (1, 11), TRAINING)
    assert (found.groups.tolist(), found.source, found.thresholds) == ([0, 1, 2], "t", (1, 11))


def test_a_coco_file_follows_the_training_set_though_it_has_a_frequency(name):
    coco = name("coco")
    found = groups_of_evaluation(coco, content(), None, TRAINING)
    assert (found.groups.tolist(), found.source, found.thresholds) == ([0, 1, 2], "t", (10, 100))
    # Without a training set, the file is all that is known.
    assert groups_of_evaluation(coco, content(), None, None).groups.tolist() == [2, 1, 0]


def test_no_groups_are_known_without_training_set_and_frequency(name):
    coco = name("coco")
    assert groups_of_evaluation(coco, content([None] * 3), None, None) is None
    assert groups_of_evaluation(coco, content(), (1, 2), None) is None
    assert groups_of_evaluation(coco, {"categories": []}, None, TRAINING) is None
