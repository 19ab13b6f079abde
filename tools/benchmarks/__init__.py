"""Benchmarks behind ``tools/benchmark.py``, one a file.

A benchmark is a module of this folder with ``run(quick: bool) -> BenchmarkResult``; its file name
is its name. What benchmarks share is in ``parts/``. Nothing is imported until it is asked for.
"""

from __future__ import annotations

import difflib
import importlib
import os
import pkgutil
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.parts.timing import BenchmarkResult

__all__ = ["benchmark_names", "run_benchmark"]

# The memory profiler logs a few lines each time it starts. Both are read when torch is imported.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")

_IGNORED_WARNINGS = (
    "`torch.jit.script` is deprecated",
    "pkg_resources is deprecated",
    "torch.meshgrid: in an upcoming release",
)


def benchmark_names() -> list[str]:
    """Names of the benchmarks that exist, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg)


def run_benchmark(name: str, quick: bool = False) -> BenchmarkResult:
    """Run the benchmark ``name``.

    Raises:
        ValueError: if there is none of this name.
    """
    names = benchmark_names()
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"Unknown benchmark {name!r}. There are: {', '.join(names)}.{hint}")
    with warnings.catch_warnings():
        # Detectron2's and fvcore's; nothing that someone who measures can act upon.
        for message in _IGNORED_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        return importlib.import_module(f"{__name__}.{name}").run(quick)
