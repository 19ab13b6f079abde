"""Generalised re-weighting of RoIs by their class, on the softmax and the sigmoid loss."""

from __future__ import annotations

import math

from lt_det.losses.base import BOX_CLS_LOSS_REGISTRY
from lt_det.losses.prior import class_prior
from lt_det.losses.row_weights import RowWeighted
from lt_det.losses.sigmoid.plain import SigmoidLoss
from lt_det.losses.softmax.plain import SoftmaxLoss
from lt_det.registry import MethodCard

__all__ = ["Reweighted", "ReweightedSigmoidLoss", "ReweightedSoftmaxLoss"]


class Reweighted(RowWeighted):
    """Goes before a loss: class weights ``w_j ~ q_j^{-rho}``.

    Generalised re-weighting (GRW) of Zhang et al., "Distribution Alignment", CVPR 2021, arXiv
    2103.16370, which MARC (arXiv 2112.07225) takes over.

    Args:
        num_classes: see :class:`RowWeighted`.
        class_stats: see :class:`RowWeighted`.
        rho: strength; 0 is the plain loss. 0.8 in DisAlign on LVIS, 1.2 in both papers' code on
            classification.
        kwargs: see :class:`RowWeighted`.

    Raises:
        ValueError: if an option has no meaning.
    """

    def __init__(self, num_classes, class_stats=None, *, rho: float = 0.8, **kwargs):
        super().__init__(num_classes, class_stats, **kwargs)
        if not (math.isfinite(rho) and rho >= 0):
            raise ValueError(f"Expected `rho` to be finite and >= 0, but got {rho}")
        self.rho = rho

    def raw_class_weights(self):
        """See :meth:`RowWeighted.raw_class_weights`."""
        return class_prior(self.require_class_stats(), self.count_type) ** -self.rho


@BOX_CLS_LOSS_REGISTRY.register()
class ReweightedSoftmaxLoss(Reweighted, SoftmaxLoss):
    """Softmax loss with weighted RoIs: the loss of DisAlign and MARC. See :class:`Reweighted`."""

    CARD = MethodCard(
        paper="Zhang et al., Distribution Alignment, CVPR 2021",
        arxiv="2103.16370",
        equation="softmax, RoI weight w_y ~ q_y^-rho",
        released="WEIGHTED_MEAN True.",
        cost="R products",
        use_when=(
            "Behind the DisAlign and MARC classifiers; NORM sample keeps the background in "
            "proportion."
        ),
    )


@BOX_CLS_LOSS_REGISTRY.register()
class ReweightedSigmoidLoss(Reweighted, SigmoidLoss):
    """Sigmoid loss with weighted RoIs. See :class:`Reweighted` and :class:`SigmoidLoss`."""

    CARD = MethodCard(
        paper="Zhang et al., Distribution Alignment, CVPR 2021",
        arxiv="2103.16370",
        equation="sigmoid, RoI weight w_y ~ q_y^-rho",
        released="For softmax only.",
        cost="R products",
        use_when="Behind the DisAlign and MARC classifiers of a sigmoid detector.",
    )
