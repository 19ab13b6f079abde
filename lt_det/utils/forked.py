"""A map over processes that share its items, for items too large to send."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

__all__ = ["forked_map"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def forked_map(
    function: Callable[[Item], Result], items: Sequence[Item], num_jobs: int
) -> list[Result]:
    """``[function(item) for item in items]`` in processes that are forked from this one.

    Nothing but results is sent; what ``function`` changes is lost. It must not touch a GPU, which
    no fork may share.

    Args:
        function: of an item.
        items: shared by the fork.
        num_jobs: processes at most; 1 calls in this one. With more, this one is left alone by a
            single item too: were it to start threads (hotcoco), later forks could not.
    """
    if num_jobs < 2 or not items:
        return [function(item) for item in items]
    pool = ProcessPoolExecutor(
        min(num_jobs, len(items)),
        mp_context=multiprocessing.get_context("fork"),
        initializer=_begin,
        initargs=(function, items),
    )
    with pool:
        return list(pool.map(_call, range(len(items))))


def _begin(function: Callable, items: Sequence) -> None:
    _call.function, _call.items = function, items


def _call(number: int):
    return _call.function(_call.items[number])
