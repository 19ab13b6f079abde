"""What the bilevel step's streams of pictures cost before the first batch, at LVIS v1's size."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import resource
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np
from detectron2.config import CfgNode, get_cfg

from lt_det.config import add_lt_det_config
from lt_det.data.loaders import build_batch_plan, build_meta_plan

from benchmarks.count import NUM_IMAGES, NUM_INSTANCES, make_dicts
from benchmarks.head import LVIS_CLASSES
from benchmarks.parts.timing import time_rounds

__all__ = ["StreamCost", "measure_streams", "resident_peak"]

_MIB = 2**20
# A quarter of LVIS's pictures are higher than wide.
_HIGH = 4


@dataclass(frozen=True)
class StreamCost:
    """Of a stream, from the records to its first batch of indices.

    Attributes:
        seconds: CPU seconds of every round (P,).
        peak: additional memory, bytes.
    """

    seconds: np.ndarray
    peak: int


def measure_streams(rounds: int) -> dict[str, StreamCost]:
    """The class-balanced meta stream ("stream") and the Meta Sampler's training stream ("sampler").

    The latter starts from uniform sampling: repeat factors are Detectron2's business.
    """
    dicts, few = _records(NUM_IMAGES, NUM_INSTANCES), _records(10, 100)
    return {
        "stream": _cost(_first_meta_batch, dicts, few, rounds),
        "sampler": _cost(_first_training_batch, dicts, few, rounds),
    }


def _cost(first_batch: Callable, dicts: list[dict], few: list[dict], rounds: int) -> StreamCost:
    seconds = time_rounds(lambda: first_batch(dicts), rounds=rounds)
    return StreamCost(seconds, resident_peak(lambda: first_batch(dicts), lambda: first_batch(few)))


def resident_peak(step: Callable[[], object], warmup: Callable[[], object]) -> int:
    """Largest resident memory of a process while ``step`` runs, beyond that before it, in bytes.

    Measured in a forked child, whose peak starts anew. Unlike
    :func:`benchmarks.parts.timing.peak_memory` it sees Python's objects and NumPy's arrays.

    Args:
        step: what to measure; it must not start threads.
        warmup: runs the same code on next to nothing: the child has none of the code in memory.
    """
    gc.collect()
    _give_back_free_memory()
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_measure_in_child, args=(step, warmup, there))
    child.start()
    there.close()
    try:
        return here.recv()
    except EOFError:
        raise RuntimeError("The process whose memory was measured has failed") from None
    finally:
        child.join()


def _measure_in_child(step: Callable, warmup: Callable, connection: Connection) -> None:
    warmup()
    before = _largest_resident()
    # Kept until the end, as a training keeps its stream.
    kept = step()
    connection.send(_largest_resident() - before)
    del kept


def _largest_resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _give_back_free_memory() -> None:
    """Else the step could fill holes that earlier work left."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _records(num_images: int, num_instances: int) -> list[dict]:
    # Looking for garbage among what is being made would take longer than making it.
    gc.disable()
    dicts = make_dicts(num_images, num_instances)
    gc.enable()
    for index, record in enumerate(dicts):
        sides = (480, 640) if index % _HIGH == 0 else (640, 480)
        record["width"], record["height"] = sides
    return dicts


def _config(name: str) -> CfgNode:
    cfg = get_cfg()
    add_lt_det_config(cfg)
    cfg.SOLVER.META.NAME = name
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = LVIS_CLASSES
    return cfg


def _first_meta_batch(dicts: list[dict]) -> tuple:
    plan = build_meta_plan(_config("MetaReweighter"), dicts, seed=0)
    batches = iter(plan)
    return plan, batches, next(batches)


def _first_training_batch(dicts: list[dict]) -> tuple:
    plan = build_batch_plan(_config("MetaSampler"), dicts, seed=0)
    batches = iter(plan)
    return plan, batches, next(batches)
