"""Which program evaluates an LVIS-format set. They give the same numbers, bit for bit."""

import importlib.metadata
import logging
import os
import sys

__all__ = ["BACKENDS", "check_backend", "log_fallback", "usable_backend"]

BACKENDS = ("lvis", "hotcoco")
# Versions of hotcoco that tests/evaluation/official/test_hotcoco_api.py has passed with.
PROVEN_VERSIONS = ("1.3.0",)

logger = logging.getLogger(__name__)

_forked_with_hotcoco = False


def _after_fork() -> None:
    global _forked_with_hotcoco
    _forked_with_hotcoco = "hotcoco" in sys.modules


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)


def check_backend(backend: str) -> None:
    """Refuse an unknown backend.

    Raises:
        ValueError: if `backend` is none of `BACKENDS`.
    """
    if backend not in BACKENDS:
        raise ValueError(f"TEST.LVIS_BACKEND is {backend!r}, expected one of {BACKENDS}.")


def usable_backend(backend: str) -> str:
    """`backend`, or ``"lvis"`` where hotcoco cannot run or is not known to be exact.

    The reason is logged, each time.
    """
    reason = _reason_against_hotcoco() if backend == "hotcoco" else None
    if reason is None:
        return backend
    log_fallback(reason)
    return "lvis"


def log_fallback(reason: str) -> None:
    """Say that the LVIS API evaluates instead of hotcoco, and why."""
    logger.info(f"Evaluating by the LVIS API, slower and with the same numbers: {reason}.")


def _reason_against_hotcoco() -> str | None:
    try:
        version = importlib.metadata.version("hotcoco")
    except importlib.metadata.PackageNotFoundError:
        return f"hotcoco is not installed (pip install hotcoco=={PROVEN_VERSIONS[-1]})"
    if version not in PROVEN_VERSIONS:
        return f"hotcoco {version} is not shown to be exact, {', '.join(PROVEN_VERSIONS)} is"
    if _forked_with_hotcoco:
        # Its threads are not in the fork: it would wait for them for ever.
        return "hotcoco cannot run in a fork of a process that has it loaded"
    return None
