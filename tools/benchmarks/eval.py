"""Evaluation of an LVIS-v1-val-shaped problem: Detectron2 with the LVIS API against ours.

The API's stages, ``evaluate()`` and ``accumulate()``, are compared with all that we do from the
columns of detections to the same arrays: the limit per image and the hand-over to hotcoco are in
our figure, and not in the API's. Its matches come with them, ours are a step of their own, which
the bootstrap needs: they are named beside, and in the figure of ``evaluator.evaluate()``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tabulate import tabulate

from benchmarks.parts.eval_problem import NUM_IMAGES, make_detections, make_ground_truth
from benchmarks.parts.eval_sides import (
    TASKS,
    Problem,
    Side,
    detectron2_side,
    in_own_process,
    our_boxes,
    our_side,
)
from benchmarks.parts.memory import forget_peak
from benchmarks.parts.timing import BenchmarkResult, machine, one_thread

__all__ = ["run"]

QUICK_SCALE = 1 / 40
# Largest first. Detectron2's side needs 7.3 GiB beside the problem at 1/4, and over 18 at 1/2.
SCALES = (1.0, 1 / 2, 1 / 4, 1 / 8, 1 / 16)
GIB_AT_FULL_SCALE = 48
OUR_ROUNDS = 3


def run(quick: bool = False) -> BenchmarkResult:
    """Evaluate one problem on both sides, and boxes at LVIS v1 val's size on ours.

    Detectron2's side takes minutes, so it runs once. Ours is the median of `OUR_ROUNDS`.

    Args:
        quick: a fortieth of LVIS v1 val's pictures, which is also the size of the second part.
    """
    with one_thread():
        # First, while this process, which the others are forks of, has little memory of its own.
        problem = _problem(QUICK_SCALE if quick else 1.0, with_masks=False)
        alone = in_own_process(our_boxes, problem)
        sizes = len(problem.dataset["images"]), len(problem.detections)
        del problem
        forget_peak()
        scale = QUICK_SCALE if quick else _largest_scale()
        problem = _problem(scale, with_masks=True)
        theirs = in_own_process(detectron2_side, problem)
        ours = [in_own_process(our_side, problem) for _ in range(OUR_ROUNDS)]
        description = machine()
    difference = max(
        float(np.abs(a - b).max())
        for task in TASKS
        for a, b in zip(theirs.arrays[task], ours[0].arrays[task], strict=True)
    )
    rows = _rows(theirs, ours)
    figures = {f"speedup_{name}": before / after for name, before, after in rows}
    figures |= {
        "cpu_s_bbox": alone.stage_s["bbox"],
        "matches_cpu_s_bbox": alone.matches_s["bbox"],
        "peak_mib_bbox": alone.peak_mib[0],
        "max_abs_difference": difference,
        "scale": scale,
    }
    text = _text(sizes, theirs, ours[0], alone, rows, figures) + description
    return BenchmarkResult("eval", quick, figures, text)


def _problem(scale: float, with_masks: bool) -> Problem:
    dataset = make_ground_truth(round(NUM_IMAGES * scale), with_masks)
    return Problem(dataset, make_detections(dataset, with_masks))


def _largest_scale() -> float:
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = next(int(line.split()[1]) / 2**20 for line in lines if line.startswith("MemAvailable"))
    return next((s for s in SCALES if GIB_AT_FULL_SCALE * s < free), SCALES[-1])


def _rows(theirs: Side, ours: list[Side]) -> list[tuple[str, float, float]]:
    """Name, CPU seconds of theirs, median of ours."""
    rows = [
        (task, theirs.stage_s[task], float(np.median([side.stage_s[task] for side in ours])))
        for task in TASKS
    ]
    return [
        *rows,
        ("evaluate", theirs.evaluate_s, float(np.median([side.evaluate_s for side in ours]))),
    ]


def _text(sizes, theirs, ours, alone, rows, figures) -> str:
    labels = {
        "bbox": "boxes: evaluate + accumulate",
        "segm": "masks: evaluate + accumulate",
        "evaluate": "evaluator.evaluate(), boxes and masks",
    }
    table = tabulate(
        [[labels[n], f"{a:.2f}", f"{b:.3f}", f"{a / b:.1f}"] for n, a, b in rows],
        headers=("CPU seconds", "Detectron2 + LVIS API", "ours", "ratio"),
        tablefmt="pipe",
        disable_numparse=True,
    )
    return (
        f"LVIS v1 val's shape at {figures['scale']:g} of its size, 300 detections a picture. "
        f"Detectron2's side once, ours the median of {OUR_ROUNDS}.\n{table}\n"
        f"Our matches take {ours.matches_s['bbox']:.3f} and {ours.matches_s['segm']:.3f} more.\n"
        f"Largest difference in any cell of precision and recall: "
        f"{figures['max_abs_difference']:g}.\n"
        f"Memory beside the problem itself: {theirs.peak_mib[1]:.0f} MiB, ours "
        f"{ours.peak_mib[1]:.0f} MiB.\n"
        f"Boxes of {sizes[0]:,} pictures, {sizes[1]:,} detections, ours: "
        f"{alone.stage_s['bbox']:.2f} CPU s, matches {alone.matches_s['bbox']:.2f} more; "
        f"peak {alone.peak_mib[0]:.0f} MiB, {alone.peak_mib[1]:.0f} MiB of it "
        "beside the problem and Python's modules.\n"
    )
