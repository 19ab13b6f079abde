"""Paired measurements of two implementations of the same step, in one process.

Rounds of the two sides are interleaved, so a slow minute of the machine slows both, and compared
pair by pair. Time is CPU time of the process, which other processes disturb less than wall time.
Threads that wait for each other burn CPU time too, so a benchmark of single operators is better
run under :func:`one_thread`.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate
from torch.profiler import ProfilerActivity, profile

__all__ = [
    "BenchmarkResult",
    "Comparison",
    "Quartiles",
    "compare",
    "comparison_table",
    "machine",
    "one_thread",
    "peak_memory",
    "time_interleaved",
    "time_pairs",
    "time_rounds",
]

Step = Callable[[], object]
_MIB = 2**20


@dataclass(frozen=True)
class BenchmarkResult:
    """What a benchmark reports.

    Attributes:
        name: the benchmark.
        quick: whether it was the short form.
        figures: figure name -> value, as in DESIGN.md's table of benchmarks.
        text: what was compared and the table, for people.
    """

    name: str
    quick: bool
    figures: dict[str, float]
    text: str

    def to_json(self) -> str:
        """One line with name, quick and figures.

        Raises:
            ValueError: if a figure is not finite, because JSON has no such number.
        """
        values = {"name": self.name, "quick": self.quick, "figures": self.figures}
        return json.dumps(values, allow_nan=False)


@dataclass(frozen=True)
class Quartiles:
    """Median and the quartiles beside it."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float] | np.ndarray) -> Quartiles:
        """Quartiles of some measurements."""
        return cls(*np.percentile(values, (25, 50, 75)).tolist())

    def __str__(self) -> str:
        return f"{self.median:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Comparison:
    """One step of ours against its baseline.

    Attributes:
        name: what was compared.
        ours_s: CPU seconds of every round of ours (P,).
        baseline_s: CPU seconds of the baseline's round of the same pair (P,).
        ours_peak: peak of tensor memory of one step, bytes.
        baseline_peak: the same of the baseline.
    """

    name: str
    ours_s: np.ndarray
    baseline_s: np.ndarray
    ours_peak: int
    baseline_peak: int

    @property
    def ratio(self) -> Quartiles:
        """CPU time of ours over the baseline's, pair by pair."""
        return Quartiles.of(self.ours_s / self.baseline_s)

    @property
    def memory_ratio(self) -> float:
        """Peak memory of ours over the baseline's."""
        return self.ours_peak / self.baseline_peak


def compare(
    name: str, ours: Step, baseline: Step, *, pairs: int = 10, warmup: int = 1
) -> Comparison:
    """Measure CPU time and peak memory of two steps.

    Args:
        name: what is compared.
        ours: a step of ours.
        baseline: the step it is compared to.
        pairs: number of measured pairs.
        warmup: number of pairs run before, which are not counted.
    """
    ours_s, baseline_s = time_pairs(ours, baseline, pairs=pairs, warmup=warmup)
    return Comparison(name, ours_s, baseline_s, peak_memory(ours), peak_memory(baseline))


def time_pairs(
    ours: Step,
    baseline: Step,
    *,
    pairs: int = 10,
    warmup: int = 1,
    clock: Callable[[], float] = time.process_time,
) -> tuple[np.ndarray, np.ndarray]:
    """Time two steps in interleaved rounds.

    The order alternates from pair to pair: what one side leaves behind (a warm cache, a grown
    heap) is to the other's benefit as often as to its own.

    Args:
        ours: a step of ours.
        baseline: the step it is compared to.
        pairs: P, number of measured pairs.
        warmup: number of pairs run before, which are not counted.
        clock: returns seconds.

    Returns:
        Seconds of ours and of the baseline, each (P,).

    Raises:
        ValueError: if there is nothing to measure.
    """
    if pairs < 1 or warmup < 0:
        raise ValueError(f"Expected `pairs` >= 1 and `warmup` >= 0, but got {pairs} and {warmup}")
    seconds = time_interleaved((ours, baseline), rounds=pairs, warmup=warmup, clock=clock)
    return seconds[:, 0], seconds[:, 1]


def time_interleaved(
    steps: Sequence[Step],
    *,
    rounds: int = 10,
    warmup: int = 1,
    clock: Callable[[], float] = time.process_time,
) -> np.ndarray:
    """Seconds (rounds, S) of S steps, each run once a round, every other round backwards.

    See :func:`time_pairs`, which is this with two sides.
    """
    seconds = np.empty((rounds, len(steps)))
    for number in range(-warmup, rounds):
        sides = range(len(steps))
        for side in sides if number % 2 == 0 else reversed(sides):
            start = clock()
            steps[side]()
            if number >= 0:
                seconds[number, side] = clock() - start
    return seconds


def time_rounds(
    step: Step, *, rounds: int = 10, clock: Callable[[], float] = time.process_time
) -> np.ndarray:
    """Seconds (P,) of each of ``rounds`` runs of one step, the first included."""
    seconds = np.empty(rounds)
    for number in range(rounds):
        start = clock()
        step()
        seconds[number] = clock() - start
    return seconds


def peak_memory(step: Step) -> int:
    """Largest amount of CPU tensor memory a step holds beyond what was there before it, bytes.

    Exact and repeatable: every allocation of PyTorch's CPU allocator is recorded, temporaries
    inside operators included. Scratch space that BLAS keeps for itself is not seen, nor is
    memory from before the step that it frees.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_bytes())["traceEvents"]
    return _peak(_cpu_memory_changes(events))


def comparison_table(comparisons: Sequence[Comparison], baseline: str = "stock") -> str:
    """A row per comparison: CPU seconds, peak memory, ratios with quartiles."""
    rows = [
        [
            c.name,
            len(c.ours_s),
            str(Quartiles.of(c.baseline_s)),
            str(Quartiles.of(c.ours_s)),
            str(c.ratio),
            f"{c.baseline_peak / _MIB:.1f}",
            f"{c.ours_peak / _MIB:.1f}",
            f"{c.memory_ratio:.3f}",
        ]
        for c in comparisons
    ]
    headers = (
        "median [quartiles]",
        "pairs",
        f"{baseline} CPU s",
        "ours CPU s",
        "time ratio",
        f"{baseline} peak MiB",
        "ours peak MiB",
        "memory ratio",
    )
    return tabulate(rows, headers=headers, tablefmt="pipe", disable_numparse=True)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch compute on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def machine() -> str:
    """CPU, cores this process may use, PyTorch and its threads, in one line."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{_cpu_model()} ({torch.backends.cpu.get_cpu_capability()}), {cores} cores, "
        f"Python {platform.python_version()}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads"
    )


def _cpu_memory_changes(events: Sequence[dict]) -> list[tuple[int, int]]:
    """Address and bytes of every allocation (> 0) and release (< 0) in a trace, in order."""
    # "Ev Idx" counts the events; their time stamps may coincide.
    values = [e["args"] for e in events if e.get("name") == "[memory]"]
    on_cpu = sorted((v for v in values if v["Device Type"] == 0), key=lambda v: v["Ev Idx"])
    return [(v["Addr"], v["Bytes"]) for v in on_cpu]


def _peak(changes: Sequence[tuple[int, int]]) -> int:
    """Largest sum of live allocations, releases of earlier memory left out."""
    live, total, peak = set(), 0, 0
    for address, change in changes:
        if change > 0:
            live.add(address)
        elif address in live:
            live.remove(address)
        else:
            continue
        total += change
        peak = max(peak, total)
    return peak


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
