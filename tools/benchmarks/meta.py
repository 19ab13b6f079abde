"""The bilevel step of stage 2 against the plain step, and against three passes of the detector.

All sides are Mask R-CNN R50-FPN on the same pictures, and train the classifier alone. What three
passes cost depends on the number of foreground RoIs, because they compute masks of these that
nothing is trained by: here about 5 % of the RoIs, in a trained detector up to 25 %.
"""

from __future__ import annotations

import numpy as np
from detectron2.utils.events import EventStorage

from benchmarks.parts.meta_sides import (
    BATCH_SIZE,
    NUM_CLASSES,
    Size,
    meta_step,
    plain_step,
    three_forwards_step,
)
from benchmarks.parts.meta_streams import StreamCost, measure_streams
from benchmarks.parts.timing import (
    BenchmarkResult,
    Comparison,
    Quartiles,
    comparison_table,
    machine,
    one_thread,
    peak_memory,
    time_pairs,
)

__all__ = ["run"]

_MIB = 2**20
SIZE, QUICK_SIZE = Size(256, 512, 1000, 12), Size(128, 128, 250, 3)
STREAM_ROUNDS, QUICK_STREAM_ROUNDS = 10, 2
PAIRS = 10
# figures of time and memory -> ours, what it is compared to, pairs of the quick form
CASES = {
    ("ratio_to_plain", "memory_ratio"): ("meta", "plain", 5),
    ("one_pass_ratio_to_plain", "one_pass_memory_ratio"): ("meta, one pass", "plain", 2),
    ("ratio_to_three_forwards", "memory_ratio_to_three_forwards"): ("meta", "three forwards", 2),
}


def run(quick: bool = False) -> BenchmarkResult:
    """Compare the steps, and measure the streams.

    Args:
        quick: smaller pictures with fewer RoIs, and fewer rounds.
    """
    size = QUICK_SIZE if quick else SIZE
    with one_thread():
        # First, while the process has little memory of its own.
        streams = measure_streams(QUICK_STREAM_ROUNDS if quick else STREAM_ROUNDS)
        comparisons, foreground = _compare(size, quick)
        description = machine()
    figures = {}
    for (of_time, of_memory), comparison in zip(CASES, comparisons, strict=True):
        figures[of_time] = comparison.ratio.median
        figures[of_memory] = comparison.memory_ratio
    for name, first in (("stream", "first_sample"), ("sampler", "first_batch")):
        figures[f"{name}_memory_mib"] = streams[name].peak / _MIB
        figures[f"{name}_{first}_s"] = Quartiles.of(streams[name].seconds).median
    text = (
        f"Stage 2 of Mask R-CNN R50-FPN, K = {NUM_CLASSES:,}. Batches of {BATCH_SIZE} random "
        f"pictures of short side {size.short_side} with {size.num_objects} objects and "
        f"{size.num_rois} RoIs each, {foreground:.0f} of these foreground. {_caution(quick)}"
        "Time: CPU seconds on one thread. "
        "Peak: tensor memory a step holds beyond what was there before it.\n"
        f"{description}\n\n{comparison_table(comparisons, 'baseline')}\n\n{_streams_text(streams)}"
    )
    return BenchmarkResult("meta", quick, figures, text)


def _compare(size: Size, quick: bool) -> tuple[list[Comparison], float]:
    """The cases, and the mean number of foreground RoIs of a picture."""
    with EventStorage() as storage:
        sides = {
            "plain": plain_step(size),
            "meta": meta_step(size, one_pass=False),
            "meta, one pass": meta_step(size, one_pass=True),
            "three forwards": three_forwards_step(size),
        }
        comparisons = []
        peaks = {name: peak_memory(step) for name, step in sides.items()}
        for ours, baseline, quick_pairs in CASES.values():
            pairs = quick_pairs if quick else PAIRS
            seconds = time_pairs(sides[ours], sides[baseline], pairs=pairs)
            name = f"{ours} / {baseline}"
            comparisons.append(Comparison(name, *seconds, peaks[ours], peaks[baseline]))
        values = storage.history("roi_head/num_fg_samples").values()
        return comparisons, float(np.mean([value for value, _ in values]))


def _caution(quick: bool) -> str:
    if not quick:
        return ""
    return (
        f"(The full form has a short side of {SIZE.short_side}, {SIZE.num_objects} objects, "
        f"{SIZE.num_rois} RoIs and {PAIRS} pairs.) "
    )


def _streams_text(streams: dict[str, StreamCost]) -> str:
    titles = {
        "stream": "Class-balanced meta stream",
        "sampler": "Meta Sampler's training stream",
    }
    lines = (
        f"{titles[name]}: first batch after {Quartiles.of(cost.seconds)} CPU s "
        f"({cost.seconds[0]:.3f} the first time), {cost.peak / _MIB:.1f} MiB at its peak."
        for name, cost in streams.items()
    )
    return "At LVIS v1's size, the records being loaded:\n" + "\n".join(lines)
