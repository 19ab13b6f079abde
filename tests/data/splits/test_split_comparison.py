"""What is said of a training and a validation set."""

import numpy as np
import pytest

from lt_det.class_stats import ClassStats
from lt_det.data.splits.evaluation_groups import EvaluationGroups
from lt_det.data.splits.split_comparison import compare_splits
from lt_det.data.splits.splits import Split, join_splits


def split(name, counts, files=(), names=None, instances=None):
    names = names or [f"c{i}" for i in range(len(counts))]
    images = np.array(counts)
    stats = ClassStats(
        len(names), max(images.max(), 1), images, images if instances is None else instances
    )
    return Split(name, tuple(names), stats, tuple(files))


def groups(training, thresholds=(10, 100)):
    return EvaluationGroups(training.stats.groups(thresholds), training.name, thresholds)


def test_a_leak_comes_first_with_number_and_examples():
    files = [f"{n}.jpg" for n in range(5)]
    text = compare_splits(split("t", [1], files), split("v", [1], ["x.jpg", *files]), None)
    _, leak, *_ = text.split("\n\n")
    assert leak.startswith("LEAK: 5 of 6 images of v are training images")
    assert "0.jpg, 1.jpg, 2.jpg. A model" in leak


def test_no_shared_name_is_said():
    text = compare_splits(split("t", [1], ["a.jpg"]), split("v", [1], ["b.jpg"]), None)
    assert "No image file name is in both." in text
    assert "LEAK" not in text


def test_the_first_category_that_differs_is_named_and_those_of_one_alone():
    text = compare_splits(
        split("t", [1, 1, 1], names=["a", "b", "c"]), split("v", [1, 1], names=["a", "c"]), None
    )
    assert "Categories differ: 3 in t, 2 in v" in text
    assert "class 1: 'b' against 'c'. Only in t: b. Give both" in text
    more = compare_splits(split("t", [1], names=["a"]), split("v", [1, 1], names=["a", "b"]), None)
    assert "class 1: missing against 'b'. Only in v: b." in more


def test_classes_that_one_side_lacks():
    text = compare_splits(split("t", [3, 2, 0, 1]), split("v", [1, 0, 2, 0]), None)
    assert "Classes with training objects, but none in v (2 of 4): c1, c3" in text
    assert "Classes with objects in v, but no training objects (1 of 4): c2" in text
    assert "objects, but" not in compare_splits(split("t", [3, 2]), split("v", [1, 1]), None)


def rows(text):
    """Cells of the table of groups by the name of the group."""
    lines = [
        [c.strip() for c in s.strip("|").split("|")] for s in text.splitlines() if s[:1] == "|"
    ]
    return {cells[0]: cells[1:] for cells in lines[2:]}


def test_groups_are_the_training_sets_and_count_what_ap_rests_on():
    # Rare: classes 0, 1 and 2, of which 2 is never trained on; common 3; frequent 4 and 5.
    training = split("t", [1, 10, 0, 11, 101, 300])
    validation = split("v", [2, 0, 1, 4, 50, 60], instances=np.array([3, 0, 1, 40, 70, 90]))
    text = compare_splits(training, validation, groups(training))
    assert "by the image counts of t, thresholds 10 and 100" in text
    assert rows(text) == {
        "rare": ["3", "2", "2", "4"],
        "common": ["1", "1", "1", "40"],
        "frequent": ["2", "2", "2", "160"],
    }
    assert "only 4 objects of 2 classes (rare), 40 objects of 1 class (common), 160 objects" in text


def test_groups_of_many_objects_are_not_called_uncertain():
    training = split("t", [1, 2, 3, 11, 12, 13, 101, 102, 103])
    validation = split("v", [10] * 9)
    assert "uncertain" not in compare_splits(training, validation, groups(training))
    one_less = split("v", [10] * 8 + [9])
    assert "only 29 objects of 3 classes (frequent):" in compare_splits(
        training, one_less, groups(training)
    )


def test_groups_of_the_file_are_named_so():
    file = EvaluationGroups(np.array([0, 2]), "", None)
    text = compare_splits(split("t", [1, 2]), split("v", [1, 2]), file)
    assert "groups by the `frequency` in the file of v" in text


def test_a_test_set_without_annotations_is_compared_by_files_and_categories():
    training = split("t", [1, 2], ["a.jpg"])
    test_set = Split("v", training.class_names, None, ("a.jpg",))
    text = compare_splits(training, test_set, None)
    assert "LEAK: 1 of 1" in text
    assert "v has no annotations to compare" in text


def test_training_sets_are_joined():
    joined = join_splits([split("a", [1, 2], ["a.jpg"]), split("b", [10, 0], ["b.jpg"])])
    assert joined.name == "a + b"
    assert joined.files == ("a.jpg", "b.jpg")
    assert joined.stats.image_count.tolist() == [11, 2]
    with pytest.raises(ValueError, match="'a' and 'b' have different classes"):
        join_splits([split("a", [1]), split("b", [1], names=["other"])])
