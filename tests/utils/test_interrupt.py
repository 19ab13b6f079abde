"""Ctrl-C is held back until the work asks for it."""

import contextlib
import os
import signal
import threading

import pytest

from lt_det.utils.interrupt import deferred_interrupt


@pytest.fixture(autouse=True)
def _interrupts_raise():
    """As in a terminal: a background shell has Python ignore SIGINT."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


def work(steps: str, done: list[str]) -> None:
    """Run steps: "^" is Ctrl-C, "?" asks for it, "!" fails; others are noted in ``done``."""
    with deferred_interrupt() as check:
        for step in steps:
            if step == "^":
                os.kill(os.getpid(), signal.SIGINT)
            elif step == "?":
                check()
            elif step == "!":
                raise RuntimeError("some fault")
            else:
                done.append(step)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("a?^b?c", ["a", "b"]),  # noted until asked for
        ("^ab", ["a", "b"]),  # never asked for: raised at the end
        ("a^^b", ["a"]),  # the second raises at once
    ],
)
def test_where_it_stops(steps, expected):
    done = []
    with pytest.raises(KeyboardInterrupt):
        work(steps, done)
    assert done == expected


@pytest.mark.parametrize("steps", ["a?b", "!"])
def test_the_handler_before_is_back_afterwards(steps):
    with contextlib.suppress(RuntimeError):
        work(steps, [])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_works_own_error_is_not_replaced():
    with pytest.raises(RuntimeError, match="some fault"):
        work("^!", [])


def test_another_thread_changes_nothing():
    seen = []

    def in_thread():
        with deferred_interrupt() as check:
            seen.append(signal.getsignal(signal.SIGINT))
            check()

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
