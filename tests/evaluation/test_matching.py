import numpy as np
import pytest

from lt_det.evaluation.matching import match, precision_recall

NOBODY = np.zeros((1, 2), dtype=bool)


def matched(overlaps, ignored=NOBODY, crowd=NOBODY[0], thresholds=(0.5,)):
    return match(np.array(overlaps), np.array(thresholds), ignored, crowd).tolist()


def test_the_first_detection_takes_the_object_that_it_overlaps_most():
    assert matched([[0.6, 0.7], [0.9, 0.95], [0.55, 0.0]]) == [[[1, 0, -1]]]


def test_of_equal_overlaps_the_later_object_is_taken():
    assert matched([[0.6, 0.6], [0.6, 0.6]]) == [[[1, 0]]]


def test_an_object_that_counts_goes_before_an_ignored_one():
    ignored = np.array([[False, True], [True, True], [True, False]])
    assert matched([[0.5, 0.9], [0.5, 0.9]], ignored) == [[[0, 1]], [[1, 0]], [[1, 0]]]


def test_a_crowd_is_never_used_up():
    crowd = np.array([False, True])
    assert matched([[0.0, 0.6], [0.0, 0.9], [0.0, 0.4]], crowd[None], crowd) == [[[1, 1, -1]]]


def test_each_threshold_matches_anew():
    assert matched([[0.6, 0.0], [0.8, 0.0]], thresholds=(0.5, 0.75)) == [[[0, -1], [-1, 0]]]


@pytest.mark.parametrize("shape", [(0, 2), (3, 0)])
def test_nothing_to_match(shape):
    ignored = np.zeros((2, shape[1]), dtype=bool)
    found = match(np.zeros(shape), np.array([0.5]), ignored, ignored[0])
    assert found.shape == (2, 1, shape[0])
    assert (found == -1).all()


def test_precision_is_the_best_at_this_recall_or_a_higher_one():
    # Precision 1, 1/2, 2/3 with recall 1/4, 1/4, 1/2.
    tp = np.array([True, False, True])
    points, recall = precision_recall(tp, ~tp, 4)
    expected = [1.0] * 26 + [2 / 3] * 25 + [0.0] * 50
    np.testing.assert_allclose(points, expected, rtol=1e-15)
    assert recall == 0.5


def test_detections_that_count_neither_way_change_nothing():
    tp = np.array([[True, False, True], [False, False, False]])
    fp = np.array([[False, False, False], [False, True, False]])
    points, recall = precision_recall(tp, fp, 2)
    np.testing.assert_allclose(points, [[1.0] * 101, [0.0] * 101], rtol=1e-15)
    assert recall.tolist() == [1, 0]


def test_no_detection_has_precision_and_recall_0():
    points, recall = precision_recall(np.zeros((3, 0), bool), np.zeros((3, 0), bool), 2)
    assert points.shape == (3, 101)
    assert not points.any()
    assert recall.tolist() == [0, 0, 0]
