"""DropLoss: equalization loss that spares tail classes part of the background, too."""

from __future__ import annotations

import torch

from lt_det.losses.base import BOX_CLS_LOSS_REGISTRY
from lt_det.losses.sigmoid.eql import EQLLoss
from lt_det.losses.weighted_rows import count_by_class
from lt_det.registry import MethodCard
from lt_det.utils.distributed import sum_over_ranks

__all__ = ["DropLoss"]


@BOX_CLS_LOSS_REGISTRY.register()
class DropLoss(EQLLoss):
    """EQL in which a background RoI is a negative of a tail class with probability rho only.

    Hsieh et al., "DropLoss for Long-Tail Instance Segmentation", AAAI 2021, arXiv 2104.06402. rho
    is the share of tail classes among the foreground RoIs of the batch; without any foreground
    nothing is dropped. Elements are drawn independently. rho is that of all processes; the released
    code takes each one's own.

    With ``link="gumbel"`` this is GOL (:class:`lt_det.losses.sigmoid.links.GumbelLink`), whose
    classifier starts at a bias of -2, ``prior_prob`` exp(-exp(2)) = 0.000618, and at equal weights
    of 0.001.

    Args:
        num_classes: see :class:`BoxClsLoss`.
        class_stats: see :class:`BoxClsLoss`; required in training.
        kwargs: see :class:`EQLLoss` and :class:`SigmoidLoss`.
    """

    CARD = MethodCard(
        paper="Hsieh et al., DropLoss, AAAI 2021",
        arxiv="2104.06402",
        equation=(
            "EQL, and on background RoIs Omega_ij = 0 of tail classes with probability 1 - rho, "
            "rho = share of tail classes in the batch's foreground"
        ),
        released=(
            "PRIOR_PROB 0.001; rho is each process's own. GOL: LINK gumbel, PRIOR_PROB 0.000618."
        ),
        cost="a weight and a random number an element",
        use_when="End to end; with LINK gumbel and repeat factors it is GOL (arXiv 2207.10936).",
    )

    def draw_mask(self, gt_classes, known_negatives=None, weights=None):
        """Which elements count, bool (R, C), with background RoIs dropped for tail classes."""
        mask = super().draw_mask(gt_classes, known_negatives, weights)
        tail = self.tail_classes()
        foreground = gt_classes < self.num_classes
        count = count_by_class(gt_classes, self.num_classes, weights)[: self.num_classes]
        num_tail, num_foreground = sum_over_ranks(torch.stack([count @ tail.double(), count.sum()]))
        rho = torch.where(num_foreground > 0, num_tail / num_foreground, 1.0)
        # On the labels' device: there are too many elements to bring them over.
        shape = len(gt_classes), self.num_classes
        drawn = torch.rand(shape, device=gt_classes.device) < rho
        kept = self.with_background(drawn.logical_or_(~tail).logical_or_(foreground.unsqueeze(1)))
        return kept if mask is None else kept & mask
