"""Stage 2 in the detector and from a bank of stored RoI features, and the bilevel step from a bank.

An epoch is extrapolated from measured steps. In the detector a picture costs its share of the
leanest step there is, frozen branches skipped; in a bank it costs one extraction, and in every
epoch its share of a step of the classifier. Both sides decode and augment files, the bank in its
extraction alone.

What a bilevel step costs at least can be counted. Products of R x C x D make nearly all of the
plain step: logits and gradient. The Meta Reweighter needs these, the same two of the meta batch,
and hypergradient and changed gradient of the foreground: in plain steps ``1 + m + f``, where the
meta batch has m times as many RoIs and a share f of the RoIs is foreground.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import numpy as np
from detectron2.utils.events import EventStorage
from tabulate import tabulate

from benchmarks.parts.bank_sides import DETECTOR_BATCH, BankSides, registered_pictures
from benchmarks.parts.meta_sides import NUM_CLASSES, Size
from benchmarks.parts.timing import (
    BenchmarkResult,
    Quartiles,
    machine,
    one_thread,
    peak_memory,
    time_interleaved,
)

__all__ = ["run"]

_MIB = 2**20
# A short side of 256 in place of LVIS's 640 to 800 favours the detector, not the bank.
SIZE = Size(256, 512, 1000, 12, iou_threshold=0.3)
# SOLVER.IMS_PER_BATCH of the LVIS configs, and SOLVER.META.IMS_PER_BATCH beside it.
BATCH_SIZE, META_BATCH_SIZE, SMALL_META_BATCH_SIZE = 16, 16, 4
METHODS, EPOCHS = 12, 4
# Pictures, of these in a forward pass of the extraction, rounds.
FULL, QUICK = (16, 8, 10), (4, 1, 3)


def run(quick: bool = False) -> BenchmarkResult:
    """Compare both ways to train, and both steps from a bank.

    Args:
        quick: fewer pictures and rounds.
    """
    num_pictures, forward_size, rounds = QUICK if quick else FULL
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(one_thread())
        stack.enter_context(EventStorage())
        stack.enter_context(registered_pictures(folder, num_pictures, SIZE))
        sides = BankSides(folder, SIZE, forward_size)
        steps = [
            sides.detector_step(),
            sides.extract,
            stack.enter_context(sides.bank_step(BATCH_SIZE)),
            stack.enter_context(sides.bank_step(BATCH_SIZE, META_BATCH_SIZE)),
            stack.enter_context(sides.bank_step(BATCH_SIZE, SMALL_META_BATCH_SIZE)),
        ]
        seconds = time_interleaved(steps, rounds=rounds)
        peak = peak_memory(sides.extract) / _MIB
        foreground, bytes_per_image = _foreground(sides), sides.bytes_per_image
        description = machine()
    per_image = seconds / (
        DETECTOR_BATCH,
        sides.num_extracted,
        BATCH_SIZE,
        BATCH_SIZE,
        BATCH_SIZE,
    )
    ratios = _ratios(*per_image.T)
    figures = {name: ratio.median for name, ratio in ratios.items()}
    figures |= {"bytes_per_image": bytes_per_image, "extraction_peak_mib": peak}
    for number, name in enumerate(("detector", "extraction", "bank")):
        figures[f"{name}_s_per_image"] = Quartiles.of(per_image[:, number]).median
    text = (
        f"Stage 2 of Mask R-CNN R50-FPN, K = {NUM_CLASSES:,}. Random pictures of short side "
        f"{SIZE.short_side} with {SIZE.num_objects} objects, {SIZE.num_rois} RoIs of each in the "
        f"detector; in the bank {bytes_per_image / 1e3:.0f} kB each, {foreground:.0%} of the "
        f"RoIs of a step foreground. {METHODS} methods of {EPOCHS} epochs, extrapolated from "
        f"steps of {DETECTOR_BATCH} pictures in the detector and {BATCH_SIZE} from the bank. "
        f"CPU seconds on one thread, {rounds} interleaved rounds. Extraction ({forward_size} of "
        f"{num_pictures} pictures in a pass) holds at most {peak:.0f} MiB of tensors beyond the "
        "detector.\n"
        f"{description}\n\n{_table(per_image)}\n\n{_ratio_lines(ratios, foreground)}"
    )
    return BenchmarkResult("bank", quick, figures, text)


def _ratios(detector, extraction, plain, meta, small_meta) -> dict[str, Quartiles]:
    """From CPU seconds a picture of every round, each (P,)."""
    visits = METHODS * EPOCHS
    return {
        "speedup_amortised": Quartiles.of(visits * detector / (extraction + visits * plain)),
        "meta_ratio_to_plain": Quartiles.of(meta / plain),
        "small_meta_ratio_to_plain": Quartiles.of(small_meta / plain),
    }


def _foreground(sides: BankSides) -> float:
    """Share of the rows of a step."""
    bank = sides.bank
    rois = bank.rois(range(bank.num_pictures), [(0,)] * bank.num_pictures)
    return float((rois.gt_classes < bank.num_classes).double().mean())


def _table(per_image: np.ndarray) -> str:
    names = (
        "step in the detector",
        "extraction",
        "step from the bank",
        f"meta step, {META_BATCH_SIZE} meta pictures",
        f"meta step, {SMALL_META_BATCH_SIZE} meta pictures",
    )
    rows = [
        [name, f"{quartiles.median:.4f} [{quartiles.low:.4f}, {quartiles.high:.4f}]"]
        for name, quartiles in zip(names, map(Quartiles.of, per_image.T), strict=True)
    ]
    headers = ("median [quartiles]", "CPU s a picture")
    return tabulate(rows, headers=headers, tablefmt="pipe", disable_numparse=True)


def _ratio_lines(ratios: dict[str, Quartiles], foreground: float) -> str:
    speedup, *metas = ratios.values()
    lines = [f"{METHODS} trainings in the detector / extraction and {METHODS} from it: {speedup}"]
    for ratio, size in zip(metas, (META_BATCH_SIZE, SMALL_META_BATCH_SIZE), strict=True):
        least = 1 + size / BATCH_SIZE + foreground
        lines.append(
            f"meta / plain step, {size} meta pictures beside {BATCH_SIZE}: {ratio}; "
            f"by products alone {least:.2f}"
        )
    return "\n".join(lines)
