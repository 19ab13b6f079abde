"""Class lists as arrays are the lists."""

import numpy as np
import pytest

from lt_det.data.class_lists import ClassLists

LISTS = [[], [2, 0], [1], [], [3, 1, 2], []]


def test_is_a_sequence_of_the_lists():
    lists = ClassLists.of(LISTS)
    assert len(lists) == 6
    assert list(lists) == LISTS
    assert lists[-2] == [3, 1, 2]
    assert lists.images.tolist() == [1, 1, 2, 4, 4, 4]
    with pytest.raises(IndexError):
        lists[6]


def test_is_not_made_twice():
    lists = ClassLists.of(LISTS)
    assert ClassLists.of(lists) is lists


@pytest.mark.parametrize("chosen", [[], [0, 1, 4], [3], [0, 1, 2, 3, 4, 5]])
def test_select(chosen):
    lists = ClassLists.of(LISTS).select(np.array(chosen, dtype=np.int64))
    assert list(lists) == [LISTS[i] for i in chosen]


def test_of_nothing():
    assert list(ClassLists.of([])) == []
    assert ClassLists.from_dicts([]).class_ids.dtype == np.int64


def test_from_records_without_crowds_and_repetitions():
    def annotations(*class_ids, **more):
        return [{"category_id": class_id, **more} for class_id in class_ids]

    records = [
        {"annotations": annotations(7, 300, 7, 0)},
        {"annotations": []},
        {"annotations": annotations(4, iscrowd=1) + annotations(9, iscrowd=0)},
    ]
    lists = ClassLists.from_dicts(records)
    assert list(lists) == [[0, 7, 300], [], [9]]
    assert lists.class_ids.nbytes == 4 * 8
