"""Focal loss."""

from __future__ import annotations

import math

import torch

from lt_det.losses.base import BOX_CLS_LOSS_REGISTRY
from lt_det.losses.sigmoid.links import LINKS
from lt_det.losses.sigmoid.plain import SigmoidLoss
from lt_det.registry import MethodCard

__all__ = ["FocalLoss"]


@BOX_CLS_LOSS_REGISTRY.register()
class FocalLoss(SigmoidLoss):
    """Omega = alpha_t (1 - p_t)^gamma, which has a gradient too; p_t is that of the true label.

    Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, arXiv 1708.02002, in its form
    with alpha. The paper divides by the number of foreground anchors; here, as every loss of the
    box head, by that of RoIs.

    Args:
        num_classes: see :class:`BoxClsLoss`.
        class_stats: see :class:`BoxClsLoss`.
        gamma: strength of the focus on hard elements; 0 is none.
        alpha: weight of positives, 1 - alpha that of negatives; negative weighs neither.
        kwargs: see :class:`SigmoidLoss`.

    Raises:
        ValueError: if a parameter has no meaning.
    """

    CARD = MethodCard(
        paper="Lin et al., Focal Loss, ICCV 2017",
        arxiv="1708.02002",
        equation="sigmoid, Omega = alpha_t (1 - p_t)^gamma",
        released="Divided by the number of foreground anchors.",
        cost="two logarithms an element in place of one, and a weight with a gradient",
        use_when="As a baseline; alone it does little for a two-stage detector.",
    )

    def __init__(
        self, num_classes, class_stats=None, *, gamma: float = 2.0, alpha: float = 0.25, **kwargs
    ):
        super().__init__(num_classes, class_stats, **kwargs)
        if not (math.isfinite(gamma) and gamma >= 0):
            raise ValueError(f"Expected `gamma` to be finite and >= 0, but got {gamma}")
        if not alpha <= 1:
            raise ValueError(f"Expected `alpha` to be at most 1, but got {alpha}")
        self.gamma = gamma
        self.alpha = alpha

    def focus(self) -> torch.Tensor:
        """gamma, () or of each column."""
        return torch.tensor(self.gamma)

    def element_weight(self, logits, targets, gt_classes):
        """The constant part of Omega, alpha_t."""
        if self.alpha < 0:
            return None
        return 1 - self.alpha + (2 * self.alpha - 1) * targets

    def elements(self, logits, targets, weight):
        """See :meth:`SigmoidLoss.elements`."""
        # log(1 - p_t) is minus the loss of the other label: no power of a rounded difference.
        log_factor = -self.focus().to(logits) * LINKS[self.link].loss(logits, 1 - targets)
        return super().elements(logits, targets, weight) * log_factor.exp()
