"""Equalization loss v2."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from lt_det.losses.base import BOX_CLS_LOSS_REGISTRY
from lt_det.losses.sigmoid.gradient_sums import GradientSums
from lt_det.losses.sigmoid.links import LINKS
from lt_det.losses.sigmoid.plain import SigmoidLoss
from lt_det.registry import MethodCard

__all__ = ["EQLv2Loss"]

# Before any gradient is known, positives and negatives count as in the plain loss.
_UNKNOWN_RATIO = 100.0


@BOX_CLS_LOSS_REGISTRY.register()
class EQLv2Loss(SigmoidLoss):
    r"""Weighs each class's positives up and negatives down until their gradients are alike.

    Tan et al., "Equalization Loss v2", CVPR 2021, arXiv 2012.08548. With g_j the ratio of class j's
    gradient as a positive to that as a negative, each summed over training so far and weighted:
    Omega of negatives r_j = 1 / (1 + exp(-gamma (g_j - mu))), of positives
    q_j = 1 + alpha (1 - r_j). The background column ("category-agnostic task") has weight 1.

    The sums are in the state. They are of the elements before a mask is applied, and in float64;
    the released code has float32, in which a large sum loses small summands. It fails without a
    process group.

    Args:
        num_classes: see :class:`BoxClsLoss`.
        class_stats: see :class:`BoxClsLoss`.
        gamma: steepness of r.
        mu: the ratio at which r is 1/2.
        alpha: how much positives gain.
        objectness: see :class:`SigmoidLoss`; "train" is mmdetection's ``test_with_obj=False``.
        kwargs: see :class:`SigmoidLoss`.

    Raises:
        ValueError: if a parameter has no meaning.
    """

    corrects_imbalance = True
    CARD = MethodCard(
        paper="Tan et al., Equalization Loss v2, CVPR 2021",
        arxiv="2012.08548",
        equation=(
            "sigmoid with objectness, Omega = r_j = sigmoid(gamma (g_j - mu)) of negatives, "
            "1 + alpha (1 - r_j) of positives; g_j the ratio of summed gradients"
        ),
        released="PRIOR_PROB 0.001; sums in float32, not in the checkpoint.",
        cost="a weight an element, a second look at the logits; 2 K numbers of state",
        use_when="End to end without repeat factors, as published.",
    )

    def __init__(
        self,
        num_classes,
        class_stats=None,
        *,
        gamma: float = 12.0,
        mu: float = 0.8,
        alpha: float = 4.0,
        objectness: str = "product",
        **kwargs,
    ):
        super().__init__(num_classes, class_stats, objectness=objectness, **kwargs)
        if not (math.isfinite(gamma) and gamma > 0):
            raise ValueError(f"Expected `gamma` to be finite and > 0, but got {gamma}")
        if not math.isfinite(mu):
            raise ValueError(f"Expected `mu` to be finite, but got {mu}")
        if not (math.isfinite(alpha) and alpha >= 0):
            raise ValueError(f"Expected `alpha` to be finite and >= 0, but got {alpha}")
        self.gamma = gamma
        self.mu = mu
        self.alpha = alpha
        self.gradient_sums = GradientSums(num_classes)

    def class_weights(self) -> torch.Tensor:
        """Of positives q and of negatives r, (2, K) float64."""
        ratio = self.gradient_sums.ratio(_UNKNOWN_RATIO)
        negative = (self.gamma * (ratio - self.mu)).sigmoid()
        return torch.stack([1 + self.alpha * (1 - negative), negative])

    def element_weight(self, logits, targets, gt_classes):
        """Omega, a constant."""
        weights = F.pad(self.class_weights(), (0, self.num_columns - self.num_classes), value=1.0)
        return torch.where(targets > 0, *weights.to(logits))

    @torch.no_grad()
    def update_state(self, logits, gt_classes, weights=None):
        """Add the batch's gradients, as this loss weighs them."""
        logits, targets = self.inputs(logits, gt_classes)
        link = LINKS[self.link]
        slopes = (link.probs(logits) - targets).abs_().mul_(link.stretch(logits))
        self.gradient_sums.add(slopes, gt_classes, weights, self.class_weights())
