"""LOCE's equilibrium loss: classes that score low get a margin over those that score high."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lt_det.losses.base import BOX_CLS_LOSS_REGISTRY, ExactBuffers
from lt_det.losses.softmax.plain import SoftmaxLoss
from lt_det.losses.weighted_rows import ones_or
from lt_det.registry import MethodCard
from lt_det.utils.distributed import sum_over_ranks

__all__ = ["EquilibriumLoss"]


@BOX_CLS_LOSS_REGISTRY.register()
class EquilibriumLoss(SoftmaxLoss):
    r"""Softmax loss on z + S with ``S_j = log(s_j / s_background)``; plain at test.

    Feng et al., "Exploring Classification Equilibrium in Long-Tailed Object Detection", ICCV 2021,
    arXiv 2108.07507, the EBL part. s_j is the running mean of the probability that RoIs of class
    j get for it; the background's is a constant, which the unshifted background stands for. It
    needs no class statistics.

    After a step with m observations of class j, of mean probability s,
    ``s_j <- momentum^m s_j + (1 - momentum^m) s``. The released code observes objects, each the
    mean of its RoIs, and updates before the loss of the same step. A loss here does not know which
    RoIs share an object: a class that is there is one observation a step, with ``per_roi`` each
    of its RoIs is; and the update follows the step. s is summed over all ranks.

    Args:
        num_classes: see :class:`BoxClsLoss`.
        class_stats: see :class:`BoxClsLoss`; not used.
        momentum: alpha.
        initial_score: s_j at the start.
        background_score: s of the background, constant.
        per_roi: count RoIs, not steps, as observations.

    Raises:
        ValueError: if an option has no meaning.
    """

    corrects_imbalance = True
    CARD = MethodCard(
        paper="Feng et al., LOCE, ICCV 2021",
        arxiv="2108.07507",
        equation="softmax, S_j = log(s_j / s_background), s_j the running mean score of class j",
        released=(
            "Observes objects, not steps or RoIs (PER_ROI), and updates before the loss of a step."
        ),
        cost="one addition of a row, a softmax for the scores; state (K)",
        use_when="Stage 2, where counts do not say how hard a class is; no statistics needed.",
    )

    def __init__(
        self,
        num_classes,
        class_stats=None,
        *,
        momentum: float = 0.9,
        initial_score: float = 0.01,
        background_score: float = 0.01,
        per_roi: bool = False,
    ):
        super().__init__(num_classes, class_stats)
        if not 0 <= momentum < 1:
            raise ValueError(f"Expected `momentum` to be in [0, 1), but got {momentum}")
        for name, value in (
            ("initial_score", initial_score),
            ("background_score", background_score),
        ):
            if not 0 < value <= 1:
                raise ValueError(f"Expected `{name}` to be in (0, 1], but got {value}")
        self.momentum = momentum
        self.background_score = background_score
        self.per_roi = per_roi
        score = torch.full((num_classes,), initial_score, dtype=torch.float64)
        self.running = ExactBuffers()
        self.running.register_buffer("mean_score", score)

    def shift(self, gt_classes):
        """(1, K + 1)."""
        # A class whose scores are all 0 in float32 shall not be impossible.
        score = self.running.mean_score.clamp(min=torch.finfo(torch.float32).tiny)
        return F.pad((score / self.background_score).log(), (0, 1)).unsqueeze(0)

    @torch.no_grad()
    def update_state(self, logits, gt_classes, weights=None):
        """Move the mean scores of the classes that the RoIs of all ranks have."""
        score = self.running.mean_score
        probs = self.predict_probs(logits).gather(1, gt_classes.unsqueeze(1)).squeeze(1)
        number = ones_or(weights, gt_classes)
        sums = score.new_zeros(2, self.num_classes + 1)
        sums[0].index_add_(0, gt_classes, probs.to(sums) * number)
        sums[1].index_add_(0, gt_classes, number)
        total, number = sum_over_ranks(sums)[:, : self.num_classes]
        is_there = (number > 0).to(number)
        kept = self.momentum ** (number if self.per_roi else is_there)
        mean = total / torch.where(number > 0, number, 1.0)
        score.copy_(kept * score + (1 - kept) * mean)
