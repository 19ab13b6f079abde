"""Generalised re-weighting of RoIs by their class, on the softmax and the sigmoid loss."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from lt_det.distributed import sum_over_ranks
from lt_det.losses.base import BOX_CLS_LOSS_REGISTRY, BoxClsLoss
from lt_det.losses.prior import check_count_type, class_prior
from lt_det.losses.sigmoid import SigmoidLoss
from lt_det.losses.softmax import SoftmaxLoss
from lt_det.method_card import MethodCard

__all__ = ["ReweightedSigmoidLoss", "ReweightedSoftmaxLoss"]

NORMS = ("class", "sample")


class Reweighted(BoxClsLoss):
    r"""Goes before a loss: RoI i counts with the weight w of its class, the background with 1.

    ``w_j ~ q_j^{-rho}``, generalised re-weighting (GRW) of Zhang et al., "Distribution Alignment",
    CVPR 2021, arXiv 2103.16370, which MARC (arXiv 2112.07225) takes over.

    Beside the background's 1 it matters what the weights are scaled to. With ``norm="class"``,
    as released, an average foreground RoI of LVIS v0.5 has a weight of 0.03 (rho = 0.8, instances)
    and the background rules; with ``norm="sample"`` it has 1.

    Args:
        num_classes: see :class:`BoxClsLoss`.
        class_stats: see :class:`BoxClsLoss`; required in training.
        rho: strength; 0 is the plain loss. 0.8 in DisAlign on LVIS, 1.2 in both papers' code on
            classification.
        norm: "class" for ``sum_j w_j = K`` as released, "sample" for ``sum_j q_j w_j = 1``.
        count_type: "instance" or "image", what q is the share of.
        weighted_mean: divide the batch's loss by its sum of weights, as the released code does;
            False divides by the number of RoIs, as every loss of Detectron2's box head.
        kwargs: parameters of the loss behind.

    Raises:
        ValueError: if an option has no meaning.
    """

    corrects_imbalance = True

    def __init__(
        self,
        num_classes,
        class_stats=None,
        *,
        rho: float = 0.8,
        norm: str = "class",
        count_type: str = "instance",
        weighted_mean: bool = False,
        **kwargs,
    ):
        super().__init__(num_classes, class_stats, **kwargs)
        if not (math.isfinite(rho) and rho >= 0):
            raise ValueError(f"Expected `rho` to be finite and >= 0, but got {rho}")
        if norm not in NORMS:
            raise ValueError(f"Expected `norm` to be one of {NORMS}, but got {norm!r}")
        self.rho = rho
        self.norm = norm
        self.count_type = check_count_type(count_type)
        self.weighted_mean = weighted_mean

    def forward(self, logits, gt_classes, mask=None):
        """See :meth:`BoxClsLoss.forward`."""
        weights = self.row_weights(gt_classes).to(logits)
        return weights * super().forward(logits, gt_classes, mask)

    def row_weights(self, gt_classes: torch.Tensor) -> torch.Tensor:
        """Weights (R,) float64.

        With ``weighted_mean`` their mean over the RoIs of all ranks is 1, and all must call it.
        """
        weights = F.pad(self.class_weights(), (0, 1), value=1.0)[gt_classes]
        if not self.weighted_mean:
            return weights
        # The predictor divides by the number of RoIs.
        total = sum_over_ranks(torch.stack([weights.new_tensor(len(weights)), weights.sum()]))
        return weights * (total[0] / total[1].clamp(min=torch.finfo(total.dtype).tiny))

    def class_weights(self) -> torch.Tensor:
        """Weights of the foreground classes, (K,) float64."""
        prior = class_prior(self.require_class_stats(), self.count_type)
        weights = prior**-self.rho
        if self.norm == "class":
            return weights * (self.num_classes / weights.sum())
        return weights / (prior * weights).sum()


@BOX_CLS_LOSS_REGISTRY.register()
class ReweightedSoftmaxLoss(Reweighted, SoftmaxLoss):
    """Softmax loss with weighted RoIs: the loss of DisAlign and MARC. See :class:`Reweighted`."""

    CARD = MethodCard(
        paper="Zhang et al., Distribution Alignment, CVPR 2021",
        arxiv="2103.16370",
        equation="softmax, RoI weight w_y = q_y^-rho, scaled; background 1",
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
        equation="sigmoid, RoI weight w_y = q_y^-rho, scaled; background 1",
        released="For softmax only.",
        cost="R products",
        use_when="Behind the DisAlign and MARC classifiers of a sigmoid detector.",
    )
