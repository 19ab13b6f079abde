"""A map over processes that share its items."""

import os
import threading

import pytest

from lt_det.utils.forked import forked_map


@pytest.mark.parametrize("num_jobs", [1, 2, 9])
def test_results_are_those_of_a_loop(num_jobs):
    # Neither the items nor the function could be sent.
    items = [(threading.Lock(), n) for n in range(3)]
    results = forked_map(lambda item: (item[1] ** 2, os.getpid()), items, num_jobs)
    assert [square for square, _ in results] == [0, 1, 4]
    here = {pid == os.getpid() for _, pid in results}
    assert here == {num_jobs == 1}


def test_single_item_leaves_this_process_alone_and_none_starts_no_other():
    [pid] = forked_map(lambda _: os.getpid(), [0], 2)
    assert pid != os.getpid()
    assert forked_map(None, [], 2) == []


@pytest.mark.parametrize("num_jobs", [1, 2])
def test_an_error_comes_through(num_jobs):
    with pytest.raises(ValueError, match="no 7"):
        forked_map(_fail_at_seven, [1, 7], num_jobs)


def _fail_at_seven(item):
    if item == 7:
        raise ValueError("no 7")
