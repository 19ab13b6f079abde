"""Ctrl-C where the work can stop, instead of anywhere."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

__all__ = ["deferred_interrupt"]


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[Callable[[], None]]:
    """Hold Ctrl-C back until the work asks for it.

    A KeyboardInterrupt that comes between taking a lock and the ``with`` block that gives it back
    leaves the lock taken: an executor interrupted while work is submitted may then wait for its
    own lock for ever. Inside this context the first Ctrl-C is only noted; the second raises at
    once, for the case that the work never asks. Outside the main thread, which alone receives
    Ctrl-C, nothing changes.

    Yields:
        A function to call where the work can stop: raises KeyboardInterrupt if Ctrl-C came.

    Raises:
        KeyboardInterrupt: at the end, if Ctrl-C came and the work did not ask since.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    noted: list[int] = []

    def check() -> None:
        if noted:
            raise KeyboardInterrupt

    def note(number: int, frame: object) -> None:
        check()
        noted.append(number)

    previous = signal.signal(signal.SIGINT, note)
    try:
        yield check
        check()
    finally:
        signal.signal(signal.SIGINT, previous)
