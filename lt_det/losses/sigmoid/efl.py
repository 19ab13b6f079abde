"""Equalized focal loss."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from lt_det.losses.base import BOX_CLS_LOSS_REGISTRY
from lt_det.losses.sigmoid.focal import FocalLoss
from lt_det.losses.sigmoid.gradient_sums import GradientSums
from lt_det.losses.sigmoid.links import LINKS
from lt_det.registry import MethodCard

__all__ = ["EFLLoss"]


@BOX_CLS_LOSS_REGISTRY.register()
class EFLLoss(FocalLoss):
    """Focal loss with a gamma for each class, the larger the fewer positives it has.

    Li et al., "Equalized Focal Loss for Dense Long-Tailed Object Detection", CVPR 2022, arXiv
    2201.02593: gamma_j = gamma + scale (1 - g_j), and the whole loss of the class times
    gamma_j / gamma. g_j in [0, 1] is the ratio of class j's gradient as a positive to that as a
    negative, each summed over training so far and weighted.

    The paper has a one-stage detector, and its code divides by the number of foreground anchors;
    here it is a loss of the box head, divided by the number of RoIs. The sums are computed from the
    logits, before a mask is applied, and are in the state in float64; the released code reads the
    gradients of the layer in backward hooks.

    Args:
        num_classes: see :class:`BoxClsLoss`.
        class_stats: see :class:`BoxClsLoss`.
        gamma: that of a balanced class; above 0.
        scale: s, what is added to it for a class without positives.
        kwargs: see :class:`FocalLoss` and :class:`SigmoidLoss`.

    Raises:
        ValueError: if a parameter has no meaning.
    """

    corrects_imbalance = True
    CARD = MethodCard(
        paper="Li et al., Equalized Focal Loss, CVPR 2022",
        arxiv="2201.02593",
        equation=(
            "focal, gamma_j = gamma + s (1 - g_j), times gamma_j / gamma; g_j the ratio of summed "
            "gradients, at most 1"
        ),
        released=(
            "PRIOR_PROB 0.001; gradients by backward hooks; divided by the number of foreground "
            "anchors."
        ),
        cost="that of focal loss, and as much again for the sums; 2 K numbers of state",
        use_when="Where focal loss is in use; published for one-stage detectors.",
    )

    def __init__(
        self, num_classes, class_stats=None, *, gamma: float = 2.0, scale: float = 8.0, **kwargs
    ):
        super().__init__(num_classes, class_stats, gamma=gamma, **kwargs)
        if gamma == 0:
            raise ValueError(f"Expected `gamma` to be above 0, but got {gamma}")
        if not (math.isfinite(scale) and scale >= 0):
            raise ValueError(f"Expected `scale` to be finite and >= 0, but got {scale}")
        self.scale = scale
        self.gradient_sums = GradientSums(num_classes)

    def focus(self):
        """gamma_j of the columns; a background column counts as balanced."""
        ratio = self.gradient_sums.ratio(1.0).clamp(max=1)
        ratio = F.pad(ratio, (0, self.num_columns - self.num_classes), value=1.0)
        return self.gamma + self.scale * (1 - ratio)

    def element_weight(self, logits, targets, gt_classes):
        """The constant part of Omega, alpha_t gamma_j / gamma."""
        weight = (self.focus() / self.gamma).to(logits)
        alpha = super().element_weight(logits, targets, gt_classes)
        return weight if alpha is None else alpha.mul_(weight)

    @torch.no_grad()
    def update_state(self, logits, gt_classes, weights=None):
        """Add the batch's gradients, as this loss weighs them."""
        logits, targets = self.inputs(logits, gt_classes)
        link = LINKS[self.link]
        focus = self.focus().to(logits)
        log_error = link.loss(logits, 1 - targets).neg_()
        error = log_error.exp()
        # Of the product of (1 - p_t)^gamma, its exponential, and -log p_t.
        slopes = link.loss(logits, targets).mul_(1 - error).mul_(focus).add_(error)
        slopes.mul_(log_error.mul_(focus).exp_()).mul_(link.stretch(logits))
        slopes.mul_(self.element_weight(logits, targets, gt_classes))
        self.gradient_sums.add(slopes, gt_classes, weights)
