"""Ctrl-C is held back until the work asks for it."""

import contextlib
import os
import signal
import threading

import pytest

from lt_det.interrupt import deferred_interrupt


@pytest.fixture(autouse=True)
def interrupts_raise():
    """As in a terminal: a background shell has Python ignore SIGINT."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_is_noted_until_asked_for():
    done = []
    with pytest.raises(KeyboardInterrupt), deferred_interrupt() as check:
        check()
        press_ctrl_c()
        done.append("after Ctrl-C")
        check()
        done.append("after the check")
    assert done == ["after Ctrl-C"]


def test_one_that_is_never_asked_for_is_raised_at_the_end():
    done = []
    with pytest.raises(KeyboardInterrupt), deferred_interrupt():
        press_ctrl_c()
        done.append("all")
    assert done == ["all"]


def test_the_second_raises_at_once():
    done = []
    with pytest.raises(KeyboardInterrupt), deferred_interrupt():
        press_ctrl_c()
        press_ctrl_c()
        done.append("never")
    assert not done


@pytest.mark.parametrize("fails", [False, True])
def test_the_handler_before_is_back_afterwards(fails):
    expected = pytest.raises(RuntimeError) if fails else contextlib.nullcontext()
    with expected, deferred_interrupt():
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        if fails:
            raise RuntimeError("some fault")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_works_own_error_is_not_replaced():
    with pytest.raises(RuntimeError, match="some fault"), deferred_interrupt():
        press_ctrl_c()
        raise RuntimeError("some fault")


def test_another_thread_changes_nothing():
    seen = []

    def work():
        with deferred_interrupt() as check:
            seen.append(signal.getsignal(signal.SIGINT))
            check()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
