"""Class statistics of a data set as large as LVIS v1's training set, its dicts being loaded.

What a training adds to Detectron2's start: everything ``compute_class_stats`` does but reading the
annotation file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from lt_det.data.statistics import compute_class_stats

from benchmarks.head import LVIS_CLASSES, long_tailed_stats
from benchmarks.parts.timing import BenchmarkResult, Quartiles, machine, time_rounds

__all__ = ["make_dicts", "run"]

# LVIS v1's training set.
NUM_IMAGES, NUM_INSTANCES = 100_170, 1_270_141
QUICK_SCALE = 20
DATASET = "lt_det_benchmark_count"


def run(quick: bool = False) -> BenchmarkResult:
    """Count the classes of generated dicts.

    Args:
        quick: a twentieth of LVIS's pictures and instances.
    """
    scale = QUICK_SCALE if quick else 1
    dicts = make_dicts(NUM_IMAGES // scale, NUM_INSTANCES // scale)
    with _registered(dicts):
        # A training counts once, with whatever state the memory is in: no warm-up.
        seconds = time_rounds(lambda: compute_class_stats(DATASET, LVIS_CLASSES))
        instances = compute_class_stats(DATASET, LVIS_CLASSES).instance_count.sum()
    figures = {"cpu_s": Quartiles.of(seconds).median, "instances": int(instances)}
    text = (
        f"Class statistics of {figures['instances']:,} instances in {len(dicts):,} pictures, "
        f"{LVIS_CLASSES:,} classes, from loaded dicts. CPU seconds, median [quartiles] of "
        f"{len(seconds)} runs: {Quartiles.of(seconds)}; the first took {seconds[0]:.3f}.\n"
        f"{machine()}"
    )
    return BenchmarkResult("count", quick, figures, text)


def make_dicts(num_images: int, num_instances: int) -> list[dict]:
    """Records in Detectron2's format, long-tailed, with instances spread at random."""
    rng = np.random.default_rng(0)
    frequency = long_tailed_stats(LVIS_CLASSES).instance_count
    class_ids = rng.choice(LVIS_CLASSES, num_instances, p=frequency / frequency.sum()).tolist()
    ends = np.sort(rng.integers(0, num_instances + 1, num_images - 1)).tolist()
    return [
        {
            "image_id": image_id,
            "annotations": [
                {"bbox": [1.0, 2.0, 30.0, 40.0], "bbox_mode": 1, "category_id": class_id}
                for class_id in class_ids[start:end]
            ],
        }
        for image_id, (start, end) in enumerate(
            zip([0, *ends], [*ends, num_instances], strict=True)
        )
    ]


@contextlib.contextmanager
def _registered(dicts: list[dict]) -> Iterator[None]:
    """As a data set without a file, which is never cached."""
    DatasetCatalog.register(DATASET, lambda: dicts)
    try:
        yield
    finally:
        DatasetCatalog.remove(DATASET)
        MetadataCatalog.remove(DATASET)
