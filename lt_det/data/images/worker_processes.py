"""A map over worker processes that yields results in order and ends cleanly on Ctrl-C."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from lt_det.utils.interrupt import deferred_interrupt

__all__ = ["map_in_workers", "num_cores"]

Result = TypeVar("Result")

# Items that are sent at a time, and how many times as many chunks wait as there are workers.
_CHUNK = 8
_WAITING = 3


def num_cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_in_workers(
    function: Callable[[str], Result], items: Sequence[str], num_workers: int
) -> Iterator[Result]:
    """Call a function for each item in processes that are forked from this one.

    Forked, because handlers of addresses that were registered here have to be there, too.

    Args:
        function: of an item; of a module.
        items: texts.
        num_workers: processes, at least 1.

    Yields:
        The results, in the order of the items.

    Raises:
        KeyboardInterrupt: soon after Ctrl-C; the workers are stopped.
        ValueError: naming the items in work, if a worker process dies.
    """
    chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
    pool = ProcessPoolExecutor(
        min(num_workers, max(len(chunks), 1)),
        mp_context=multiprocessing.get_context("fork"),
        initializer=_leave_ctrl_c_to_the_parent,
    )
    waiting: deque[tuple[Sequence[str], Future]] = deque()
    with deferred_interrupt() as check_interrupt:
        try:
            for number, chunk in enumerate(chunks):
                waiting.append((chunk, pool.submit(_call_each, function, chunk)))
                is_last = number == len(chunks) - 1
                while waiting and (is_last or len(waiting) > _WAITING * num_workers):
                    yield from _result(*waiting.popleft())
                    check_interrupt()
        finally:
            pool.shutdown(cancel_futures=True)


def _result(chunk: Sequence[str], future: Future) -> list:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise ValueError(
            f"A worker process died at one of {len(chunk)} images from {chunk[0]} to {chunk[-1]}: "
            "out of memory, or a broken file that ends its decoder"
        ) from error


def _leave_ctrl_c_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _call_each(function: Callable, chunk: Sequence[str]) -> list:
    return [function(item) for item in chunk]
