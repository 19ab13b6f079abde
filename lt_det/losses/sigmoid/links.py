"""Links of the binary losses: what makes a logit u the probability of a class.

Each link is a set of functions. ``targets`` are 0 or 1, of the shape of ``logits``.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

__all__ = ["LINKS", "GumbelLink", "SigmoidLink"]


class SigmoidLink:
    """p = 1 / (1 + exp(-u))."""

    @staticmethod
    def logit(prob: float) -> float:
        """The u of a probability."""
        return -math.log((1 - prob) / prob)

    @staticmethod
    def probs(logits: torch.Tensor) -> torch.Tensor:
        """Probabilities."""
        return logits.sigmoid()

    @staticmethod
    def loss(
        logits: torch.Tensor, targets: torch.Tensor, weight: torch.Tensor | None = None
    ) -> torch.Tensor:
        """-log p where the target is 1, -log(1 - p) where it is 0, times a constant weight."""
        return F.binary_cross_entropy_with_logits(logits, targets, weight, reduction="none")

    @staticmethod
    def stretch(logits: torch.Tensor) -> torch.Tensor | float:
        """The derivative of p by u over p (1 - p): that of the loss is (p - t) times this."""
        return 1.0


class GumbelLink:
    """p = exp(-exp(-u)): close to 0 over a wide range of logits, as rare classes are.

    Alexandridis et al., "Long-tailed Instance Segmentation using Gumbel Optimized Loss", ECCV 2022,
    arXiv 2207.10936. The loss sees logits clamped to [-4, 10], as in the released code, so that
    outside it has no gradient; probabilities at test are of the logits as they are. It is computed
    from logarithms, the released one from p in single precision.
    """

    RANGE = (-4.0, 10.0)

    @staticmethod
    def logit(prob: float) -> float:
        """The u of a probability."""
        return -math.log(-math.log(prob))

    @staticmethod
    def probs(logits: torch.Tensor) -> torch.Tensor:
        """Probabilities."""
        return (-(-logits).exp()).exp()

    @classmethod
    def loss(cls, logits, targets, weight=None):
        """See :meth:`SigmoidLink.loss`."""
        # In place where the derivative allows it: memory costs more than arithmetic.
        rate = logits.clamp(*cls.RANGE).neg_().exp_()
        loss = torch.where(targets > 0, rate, (-torch.expm1(-rate)).log().neg_())
        return loss if weight is None else loss * weight

    @classmethod
    def stretch(cls, logits):
        """See :meth:`SigmoidLink.stretch`: exp(-u) / (1 - p), and 0 out of range."""
        low, high = cls.RANGE
        rate = (-logits.clamp(low, high)).exp()
        return rate / -torch.expm1(-rate) * ((logits >= low) & (logits <= high))


LINKS = {"sigmoid": SigmoidLink, "gumbel": GumbelLink}
