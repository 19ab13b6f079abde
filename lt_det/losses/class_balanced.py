"""Class-balanced weights: a class counts by the inverse of its effective number of samples."""

from __future__ import annotations

import math

import torch

from lt_det.losses.base import BOX_CLS_LOSS_REGISTRY
from lt_det.losses.prior import counts_above_zero
from lt_det.losses.row_weights import RowWeighted
from lt_det.losses.sigmoid.plain import SigmoidLoss
from lt_det.losses.softmax.plain import SoftmaxLoss
from lt_det.registry import MethodCard

__all__ = ["ClassBalanced", "ClassBalancedSigmoidLoss", "ClassBalancedSoftmaxLoss"]


class ClassBalanced(RowWeighted):
    """Goes before a loss: class weights ``w_j ~ (1 - beta) / (1 - beta^{n_j})``.

    Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019, arXiv
    1901.05555. beta = 0 gives equal weights, beta -> 1 weights of ``1 / n_j``. The paper, on
    classification, has no background; here it counts 1.

    Args:
        num_classes: see :class:`RowWeighted`.
        class_stats: see :class:`RowWeighted`.
        beta: in [0, 1); the released scripts have 0.999 for iNaturalist, 0.9999 for CIFAR.
        kwargs: see :class:`RowWeighted`.

    Raises:
        ValueError: if an option has no meaning.
    """

    def __init__(self, num_classes, class_stats=None, *, beta: float = 0.999, **kwargs):
        super().__init__(num_classes, class_stats, **kwargs)
        if not 0 <= beta < 1:
            raise ValueError(f"Expected `beta` to be in [0, 1), but got {beta}")
        self.beta = beta

    def raw_class_weights(self):
        """See :meth:`RowWeighted.raw_class_weights`."""
        count = counts_above_zero(self.require_class_stats(), self.count_type)
        if self.beta == 0:
            return torch.ones_like(count)
        # 1 - beta^n, without the cancellation of beta close to 1.
        return (1 - self.beta) / -torch.expm1(count * math.log(self.beta))


@BOX_CLS_LOSS_REGISTRY.register()
class ClassBalancedSoftmaxLoss(ClassBalanced, SoftmaxLoss):
    """Softmax loss with class-balanced RoIs. See :class:`ClassBalanced`."""

    CARD = MethodCard(
        paper="Cui et al., Class-Balanced Loss, CVPR 2019",
        arxiv="1901.05555",
        equation="softmax, RoI weight w_y ~ (1 - beta) / (1 - beta^n_y)",
        released="For classification, without a background; BETA 0.999 or 0.9999.",
        cost="R products",
        use_when=(
            "As the classic control of re-weighting; with START_STEP it is deferred "
            "re-weighting (DRW)."
        ),
    )


@BOX_CLS_LOSS_REGISTRY.register()
class ClassBalancedSigmoidLoss(ClassBalanced, SigmoidLoss):
    """Sigmoid loss with class-balanced RoIs. See :class:`ClassBalanced`, :class:`SigmoidLoss`."""

    CARD = MethodCard(
        paper="Cui et al., Class-Balanced Loss, CVPR 2019",
        arxiv="1901.05555",
        equation="sigmoid, RoI weight w_y ~ (1 - beta) / (1 - beta^n_y)",
        released="As the softmax form.",
        cost="R products",
        use_when="As the softmax form, on a sigmoid detector.",
    )
