"""Kinds of errors and confused classes, by hand: a 100 x 100 picture with few boxes."""

import numpy as np
import pytest
from toy_lvis import ToyLVIS
from toy_sides import sides_of

from lt_det.evaluation.metrics.confusion import confusions
from lt_det.evaluation.metrics.errors import (
    BACKGROUND,
    BOTH,
    CLASS,
    DUPLICATE,
    LOCATION,
    find_errors,
)

A, FAR = [10, 10, 20, 20], [60, 60, 20, 20]
# IoU with A: 3 / 5, 1 / 3 and 1 / 7.
NEAR, HALF_OFF, CORNER = [10, 15, 20, 20], [10, 20, 20, 20], [20, 20, 20, 20]
GROUPS = {"rare": np.array([True, False, False]), "frequent": np.array([False, True, True])}
NAMES = ["bird", "cat", "dog"]


@pytest.fixture
def errors_of(tmp_path):
    """Errors of detections (category id, score, box) in a picture with A of class 1."""

    def _errors_of(
        detections, truth=((1, A),), negative=(2, 3), not_exhaustive=(), data_format="lvis", **more
    ):
        toy = ToyLVIS("rff")
        toy.image(1, negative=negative, not_exhaustive=not_exhaustive)
        for category_id, box in truth:
            toy.box(1, category_id, box)
            toy.annotations[-1].update(more)
        records = [
            {"image_id": 1, "category_id": c, "score": s, "bbox": b} for c, s, b in detections
        ]
        path = toy.write(tmp_path / "gt.json")
        sides = sides_of(path, records, data_format=data_format)
        return sides, find_errors(sides)

    return _errors_of


@pytest.mark.parametrize("data_format", ["lvis", "coco"])
@pytest.mark.parametrize(
    ("detection", "kind", "target"),
    [
        ((1, 0.5, HALF_OFF), LOCATION, 0),
        ((1, 0.5, CORNER), LOCATION, 0),
        ((2, 0.5, NEAR), CLASS, 0),
        ((2, 0.5, HALF_OFF), BOTH, -1),
        ((2, 0.5, FAR), BACKGROUND, -1),
        ((1, 0.5, FAR), BACKGROUND, -1),
    ],
)
def test_kinds(errors_of, detection, kind, target, data_format):
    _, errors = errors_of([detection], data_format=data_format)
    assert errors.is_fp.tolist() == [True]
    assert errors.kind.tolist() == [kind]
    assert errors.target.tolist() == [target]
    assert errors.missed.tolist() == [True]


def test_a_second_detection_of_an_object_is_a_duplicate(errors_of):
    _, errors = errors_of([(1, 0.9, A), (1, 0.5, NEAR)])
    assert errors.is_tp.tolist() == [True, False]
    assert errors.kind[1] == DUPLICATE
    assert not errors.missed.any()


def test_a_wrong_class_on_a_matched_object_has_no_target(errors_of):
    _, errors = errors_of([(1, 0.9, A), (2, 0.5, NEAR)])
    assert errors.kind[1] == CLASS
    assert errors.target[1] == -1


def test_a_wrong_place_goes_before_a_wrong_class(errors_of):
    _, errors = errors_of([(1, 0.5, HALF_OFF)], truth=[(1, A), (2, HALF_OFF)])
    assert errors.kind.tolist() == [LOCATION]


def test_no_object_at_all_is_background(errors_of):
    _, errors = errors_of([(2, 0.5, A)], truth=())
    assert errors.kind.tolist() == [BACKGROUND]
    assert errors.is_fp.tolist() == [True]


def test_no_detection(errors_of):
    _, errors = errors_of([])
    assert len(errors.kind) == 0
    assert errors.missed.tolist() == [True]
    assert errors.taken_for.tolist() == [-1]


def test_crowds_and_ignored_objects_are_no_target(errors_of):
    _, errors = errors_of([(1, 0.9, A), (2, 0.5, A)], data_format="coco", iscrowd=1)
    assert not errors.is_tp.any()
    assert errors.is_fp.tolist() == [False, True]
    assert errors.kind.tolist() == [BACKGROUND] * 2
    assert not errors.missed.any()


def taken_for(errors_of, detections, **options):
    return errors_of(detections, **options)[1].taken_for.tolist()


def test_an_object_is_taken_for_the_most_confident_class(errors_of):
    assert taken_for(errors_of, [(1, 0.3, A), (2, 0.5, NEAR), (3, 0.4, A)]) == [1]
    assert taken_for(errors_of, [(1, 0.6, A), (2, 0.5, NEAR)]) == [0]
    assert taken_for(errors_of, [(2, 0.5, HALF_OFF)]) == [-1]


def test_a_score_threshold_decides_what_is_seen(errors_of):
    sides, errors = errors_of([(2, 0.04, A), (3, 0.05, A)])
    assert errors.taken_for.tolist() == [2]
    assert find_errors(sides, score_threshold=0.01).taken_for.tolist() == [2]
    assert find_errors(sides, score_threshold=0.06).taken_for.tolist() == [-1]


def test_what_is_unknown_or_right_is_no_confusion(errors_of):
    # Class 2 is not verified in the picture; not exhaustive in it; or there itself.
    assert taken_for(errors_of, [(2, 0.5, A)], negative=[3]) == [-1]
    both = {"truth": [(1, A), (2, FAR)]}
    assert taken_for(errors_of, [(2, 0.5, A)], not_exhaustive=[2], **both) == [-1, -1]
    assert taken_for(errors_of, [(2, 0.5, A)], truth=[(1, A), (2, NEAR)]) == [-1, 1]
    assert taken_for(errors_of, [(2, 0.5, A)], **both) == [1, -1]


def test_confusions_are_counted_by_class(errors_of):
    detections = [(2, 0.9, A), (3, 0.9, FAR)]
    truth = [(1, A), (1, [60, 10, 20, 20]), (1, [10, 60, 20, 20]), (2, FAR)]
    sides, errors = errors_of(detections, truth=truth, negative=[3])
    assert confusions(sides, errors, NAMES, GROUPS) == [
        {
            **{"class": "bird", "into": "cat", "count": 1, "share": 1 / 3},
            **{"group": "rare", "into_group": "frequent"},
        },
        {
            **{"class": "cat", "into": "dog", "count": 1, "share": 1},
            **{"group": "frequent", "into_group": "frequent"},
        },
    ]
    assert [row["group"] for row in confusions(sides, errors, NAMES, {})] == [None, None]
