"""The sides of the benchmark ``load``: Detectron2's loader, and lt_det's with and without cache."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.lvis import (
    get_lvis_instances_meta,
    load_lvis_json,
    register_lvis_instances,
)
from detectron2.data.samplers import RepeatFactorTrainingSampler

from lt_det.class_stats import ClassStats
from lt_det.data.cache.mapped_records import counting_records
from lt_det.data.datasets.lvis_builtin import extend_lvis_metadata
from lt_det.data.datasets.record_source import dataset_records

from benchmarks.parts.memory import peak_mib

__all__ = ["LoadSides", "main", "registered_file"]

# Where `python -m benchmarks...` finds this module.
_TOOLS = Path(__file__).parents[2]
# The classes are those of LVIS v1.0, by the name.
DATASET = "lvis_v1_lt_det_benchmark"
IMAGE_ROOT = "coco/"
LVIS_CLASSES, THRESHOLD = 1203, 0.001


class LoadSides:
    """One annotation file, loaded in different ways.

    Args:
        json_file: an LVIS-format file of LVIS v1.0's classes, which must be registered
            (:func:`registered_file`).
        cache: folder of the cache, ``$LT_DET_CACHE``.
    """

    def __init__(self, json_file: Path, cache: Path):
        self._json_file = json_file
        self._cache = cache

    def detectron2(self) -> list[dict]:
        """Detectron2's loader."""
        return load_lvis_json(str(self._json_file), IMAGE_ROOT, DATASET)

    def first(self) -> None:
        """Reads the file and writes the cache, which is empty before."""
        shutil.rmtree(self._cache, ignore_errors=True)
        dataset_records(DATASET)

    def cached(self) -> None:
        """Opens the cache, to the first record."""
        dataset_records(DATASET)[0]

    def cached_use(self) -> dict[str, float]:
        """What :func:`main` measures, in a process of its own."""
        command = [sys.executable, "-W", "ignore", "-m", __name__, str(self._json_file)]
        done = subprocess.run(command, cwd=_TOOLS, capture_output=True, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])


@contextlib.contextmanager
def registered_file(json_file: Path, cache: Path) -> Iterator[None]:
    """The file as Detectron2 registers LVIS v1.0, with a cache of its own."""
    before = os.environ.get("LT_DET_CACHE")
    os.environ["LT_DET_CACHE"] = str(cache)
    register_lvis_instances(DATASET, get_lvis_instances_meta("lvis_v1"), str(json_file), IMAGE_ROOT)
    extend_lvis_metadata()
    try:
        yield
    finally:
        DatasetCatalog.remove(DATASET)
        MetadataCatalog.remove(DATASET)
        del os.environ["LT_DET_CACHE"]
        if before is not None:
            os.environ["LT_DET_CACHE"] = before


def main(json_file: str) -> None:
    """Use the cache as a training does: class statistics, repeat factors, every record once.

    Prints as JSON the peak of resident memory in MiB, of the libraries alone and at the end, and
    the CPU seconds of making all records, which a training spreads over an epoch.
    """
    libraries = peak_mib()
    with registered_file(Path(json_file), Path(os.environ["LT_DET_CACHE"])):
        records = dataset_records(DATASET)
        counting = counting_records(records)
        ClassStats.from_dicts(counting, LVIS_CLASSES)
        RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(counting, THRESHOLD)
        start = time.process_time()
        for _ in records:
            pass
        seconds = time.process_time() - start
    print(json.dumps({"libraries_mib": libraries, "peak_mib": peak_mib(), "all_s": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
