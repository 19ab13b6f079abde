"""Resident memory of this process alone, on Linux: ``getrusage`` includes its parent's."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

__all__ = ["forget_peak", "peak_mib", "resident_mib"]

_SELF = Path("/proc/self")
_PEAK = "5"


def peak_mib() -> float:
    """The most this process ever had, or had since :func:`forget_peak`."""
    return _status("VmHWM")


def resident_mib() -> float:
    """What it has now."""
    return _status("VmRSS")


def forget_peak() -> None:
    """Give what is free back to the system, and measure the peak from here."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    (_SELF / "clear_refs").write_text(_PEAK)


def _status(key: str) -> float:
    lines = dict(line.split(":", 1) for line in (_SELF / "status").read_text().splitlines())
    return int(lines[key].split()[0]) / 1024
