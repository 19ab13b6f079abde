"""Loading an annotation file of the shape of LVIS v1's training set, against Detectron2's loader.

The first time reads the file and writes the cache; the cached time ends when the first record is
read. Beside them: making all records from the cache. The file lies in the system's cache of files,
for all sides.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
from tabulate import tabulate

from benchmarks.parts.load_sides import LoadSides, registered_file
from benchmarks.parts.lvis_shaped import NUM_IMAGES, write_lvis_shaped
from benchmarks.parts.timing import BenchmarkResult, Quartiles, machine, time_interleaved

__all__ = ["run"]

QUICK_SCALE = 20
ROUNDS = 10
_MIB = 2**20


def run(quick: bool = False) -> BenchmarkResult:
    """Load one file in three ways.

    Args:
        quick: a twentieth of LVIS's pictures.
    """
    num_images = NUM_IMAGES // QUICK_SCALE if quick else NUM_IMAGES
    with tempfile.TemporaryDirectory() as folder:
        json_file, cache = Path(folder) / "train.json", Path(folder) / "cache"
        write_lvis_shaped(json_file, num_images)
        with registered_file(json_file, cache):
            sides = LoadSides(json_file, cache)
            steps = (sides.detectron2, sides.first, sides.cached)
            # A training loads once: there is nothing to warm up.
            seconds = time_interleaved(steps, rounds=ROUNDS, warmup=0)
            use = sides.cached_use()
            sizes = json_file.stat().st_size, _bytes_below(cache)
    return _result(quick, num_images, seconds, use, sizes)


def _result(
    quick: bool, num_images: int, seconds: np.ndarray, use: dict, sizes: tuple[int, int]
) -> BenchmarkResult:
    names = ("Detectron2", "first", "cached")
    detectron2 = Quartiles.of(seconds[:, 0])
    ratios = [Quartiles.of(side / seconds[:, 0]) for side in seconds.T]
    figures = {
        "first_ratio": ratios[1].median,
        "cached_ratio": ratios[2].median,
        "cached_peak_mib": use["peak_mib"],
        "cached_all_ratio": use["all_s"] / detectron2.median,
        "detectron2_cpu_s": detectron2.median,
    }
    rows = [
        [
            name,
            *(f"{q.median:.4f} [{q.low:.4f}, {q.high:.4f}]" for q in (Quartiles.of(side), ratio)),
        ]
        for name, side, ratio in zip(names, seconds.T, ratios, strict=True)
    ]
    table = tabulate(rows, ("median [quartiles]", "CPU s", "ratio"), tablefmt="pipe")
    text = (
        f"{num_images:,} pictures, a file of {sizes[0] / _MIB:,.0f} MiB, a cache of "
        f"{sizes[1] / _MIB:,.0f} MiB; {len(seconds)} rounds.\n\n{table}\n\n"
        f"With the cache, class statistics, repeat factors and all records once: a peak of "
        f"{use['peak_mib']:,.0f} MiB of resident memory, of which the libraries have "
        f"{use['libraries_mib']:,.0f}; {use['all_s']:.2f} CPU s for all records.\n{machine()}"
    )
    return BenchmarkResult("load", quick, figures, text)


def _bytes_below(folder: Path) -> int:
    return sum(os.path.getsize(path) for path in folder.rglob("*") if path.is_file())
