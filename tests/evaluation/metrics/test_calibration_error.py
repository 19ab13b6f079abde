import math

import numpy as np
import pytest

from lt_det.evaluation.matching.matches import Matches
from lt_det.evaluation.metrics.calibration_error import calibration_curve


def matches_of(scores, matched, ignored=None, classes=None):
    """Matches of detections in one picture, of one class by default, at thresholds 0.5 and 0.75."""
    num = len(scores)
    none = np.zeros(num, bool)
    classes = np.zeros(num, int) if classes is None else np.array(classes)
    rows = np.array([matched, none], bool), np.array([none if ignored is None else ignored, none])
    empty = np.zeros(0, int)
    return Matches(
        np.array([1]),
        np.arange(3),
        np.zeros(num, int),
        classes,
        np.array(scores, float),
        *rows,
        empty,
        empty,
        empty,
    )


ALL = np.ones(3, bool)


def test_by_hand():
    # Two bins: scores 0.2, 0.4 with none correct, and 0.9, 0.9, 0.6 with two.
    curve = calibration_curve(
        matches_of([0.9, 0.2, 0.9, 0.6, 0.4], [True, False, True, False, False]), ALL, num_bins=2
    )
    assert [b["count"] for b in curve["bins"]] == [2, 3]
    assert [b["confidence"] for b in curve["bins"]] == pytest.approx([0.3, 0.8])
    assert [b["precision"] for b in curve["bins"]] == pytest.approx([0, 2 / 3])
    assert curve["ece"] == pytest.approx(2 / 5 * 0.3 + 3 / 5 * (0.8 - 2 / 3))


def test_perfect_calibration_is_0():
    scores, matched = [], []
    for tenths in range(1, 11):
        scores += [tenths / 10] * 10
        matched += [True] * tenths + [False] * (10 - tenths)
    curve = calibration_curve(matches_of(scores, matched), ALL)
    assert curve["ece"] == pytest.approx(0, abs=1e-15)
    assert len(curve["bins"]) == 10


def test_a_bin_holds_its_upper_end_and_0_is_in_the_first():
    curve = calibration_curve(matches_of([0, 0.25, 0.5, 0.75, 1], [False] * 5), ALL, num_bins=4)
    assert [b["count"] for b in curve["bins"]] == [2, 1, 1, 1]


def test_equal_to_a_loop():
    rng = np.random.default_rng(0)
    scores, classes = rng.random(300), rng.integers(0, 3, 300)
    matched, ignored = rng.random(300) < scores, rng.random(300) < 0.2
    members = np.array([True, False, True])
    ece = 0
    chosen = [i for i in range(300) if members[classes[i]] and not ignored[i]]
    for b in range(7):
        inside = [i for i in chosen if b / 7 < scores[i] <= (b + 1) / 7]
        ece += abs(sum(scores[i] for i in inside) - sum(matched[i] for i in inside)) / len(chosen)
    curve = calibration_curve(matches_of(scores, matched, ignored, classes), members, num_bins=7)
    assert curve["ece"] == pytest.approx(ece, rel=1e-12)
    assert sum(b["count"] for b in curve["bins"]) == len(chosen)


def test_the_threshold_decides_what_is_correct():
    matches = matches_of([0.5], [True])
    eces = [calibration_curve(matches, ALL, threshold_index=t)["ece"] for t in (0, 1)]
    assert eces == [0.5, 0.5]
    precisions = [
        calibration_curve(matches, ALL, threshold_index=t)["bins"][0]["precision"] for t in (0, 1)
    ]
    assert precisions == [1, 0]


def test_no_detection_has_no_error():
    curve = calibration_curve(matches_of([0.5], [True]), np.array([False, True, True]))
    assert math.isnan(curve["ece"])
    assert curve["bins"] == []


def test_scores_that_are_no_probabilities_are_refused():
    with pytest.raises(ValueError, match=r"from -1 to 3.*probabilities in \[0, 1\]"):
        calibration_curve(matches_of([3, -1], [True, False]), ALL)
