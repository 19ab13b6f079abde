"""Every loss of lt_det against the plain loss of its link: the loss's part of a training step.

That part is the random mask, forward, backward and running statistics, on given logits. Losses come
from the registry, with their default parameters.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from lt_det.losses import BOX_CLS_LOSS_REGISTRY, BoxClsLoss, SigmoidLoss, SoftmaxLoss

from benchmarks.head import (
    FOREGROUND_FRACTION,
    LVIS_CLASSES,
    MANY_CLASSES,
    long_tailed_stats,
)
from benchmarks.parts.timing import (
    BenchmarkResult,
    Comparison,
    compare,
    comparison_table,
    machine,
    one_thread,
)

__all__ = ["run"]

NUM_ROIS, QUICK_NUM_ROIS = 8192, 1024
PAIRS = 10
# Figure name's end -> K.
CASES = {"": LVIS_CLASSES, "_20k": MANY_CLASSES}
QUICK_CASES = {"": LVIS_CLASSES}


def run(quick: bool = False) -> BenchmarkResult:
    """Compare every loss with cross-entropy, those with a sigmoid link with the plain sigmoid loss.

    Args:
        quick: an eighth of the RoIs, and K = 1,203 alone.
    """
    num_rois = QUICK_NUM_ROIS if quick else NUM_ROIS
    with one_thread():
        comparisons = {
            f"{cls.__name__}{end}": _compare(cls, num_classes, num_rois)
            for end, num_classes in (QUICK_CASES if quick else CASES).items()
            for cls in _losses()
        }
        description = machine()
    figures = {name: comparison.ratio.median for name, comparison in comparisons.items()}
    text = (
        "The loss's part of a training step (mask, forward, backward, running statistics) against "
        f"the plain loss of its link, R = {num_rois:,}. Time: CPU seconds on one thread. Peak: "
        "tensor memory one step holds beyond the logits.\n"
        f"{description}\n\n{comparison_table(list(comparisons.values()), baseline='plain')}"
    )
    return BenchmarkResult("losses", quick, figures, text)


def _losses() -> list[type[BoxClsLoss]]:
    """All of lt_det but the two that the others are compared with."""
    return sorted(
        (
            cls
            for _, cls in BOX_CLS_LOSS_REGISTRY
            if cls.__module__.startswith("lt_det.") and cls not in (SoftmaxLoss, SigmoidLoss)
        ),
        key=lambda cls: cls.__name__,
    )


def plain_of(loss_class: type[BoxClsLoss]) -> type[BoxClsLoss]:
    """What a loss is compared with: the sigmoid loss if it is one, else cross-entropy."""
    return SigmoidLoss if issubclass(loss_class, SigmoidLoss) else SoftmaxLoss


def _compare(loss_class: type[BoxClsLoss], num_classes: int, num_rois: int) -> Comparison:
    plain = plain_of(loss_class)
    stats = long_tailed_stats(num_classes)
    return compare(
        f"{loss_class.__name__} / {plain.__name__}, K = {num_classes:,}",
        training_step(loss_class(num_classes, stats), num_rois),
        training_step(plain(num_classes), num_rois),
        pairs=PAIRS,
    )


def training_step(loss: BoxClsLoss, num_rois: int) -> Callable[[], None]:
    """A function that does the loss's part of a training step once, on the same RoIs each time."""
    torch.manual_seed(0)
    gt_classes = torch.randint(loss.num_classes, (num_rois,))
    gt_classes[int(FOREGROUND_FRACTION * num_rois) :] = loss.num_classes
    logits = torch.randn(num_rois, loss.num_logits, requires_grad=True)

    def step() -> None:
        logits.grad = None
        mask = loss.draw_mask(gt_classes)
        (loss(logits, gt_classes, mask).sum() / num_rois).backward()
        loss.update_state(logits.detach(), gt_classes)

    return step
