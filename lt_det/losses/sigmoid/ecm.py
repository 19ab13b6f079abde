"""Effective class-margin loss."""

from __future__ import annotations

import math

import torch

from lt_det.losses.base import BOX_CLS_LOSS_REGISTRY
from lt_det.losses.prior import check_count_type, counts_above_zero
from lt_det.losses.sigmoid.plain import SigmoidLoss
from lt_det.registry import MethodCard

__all__ = ["ECMLoss"]


@BOX_CLS_LOSS_REGISTRY.register()
class ECMLoss(SigmoidLoss):
    """u = 2 z + Delta_j, with a weight a column, both from a bound on the average precision.

    Cho and Kraehenbuehl, "Long-tail Detection with Effective Class-Margins", ECCV 2022, arXiv
    2301.09724. With a_j = (n - n_j) / n_j, n_j the positives of class j and n those of all,
    background included: Delta_j = -1/4 log a_j and Omega_j = a_j log(1 + 1 / a_j). The released
    code computes sigmoid(u) from weighted exponentials, which overflow for large logits. At test
    u = z.

    The background column is one of the classes, with as many positives as ``background_ratio`` per
    foreground one. As released the classifier is cosine, with scale 20, and starts from a bias of
    0, which is ``prior_prob=0.5``.

    Args:
        num_classes: see :class:`BoxClsLoss`.
        class_stats: see :class:`BoxClsLoss`; required in training.
        background_ratio: measured by the authors on a Mask R-CNN.
        count_type: "image", as released, or "instance": the text speaks of annotations.
        objectness: see :class:`SigmoidLoss`.
        kwargs: see :class:`SigmoidLoss`.

    Raises:
        ValueError: if a parameter has no meaning.
    """

    corrects_imbalance = True
    CARD = MethodCard(
        paper="Cho and Kraehenbuehl, Effective Class-Margins, ECCV 2022",
        arxiv="2301.09724",
        equation=(
            "sigmoid with objectness, u = 2 z_j - 1/4 log a_j, Omega_j = a_j log(1 + 1 / a_j), "
            "a_j = (n - n_j) / n_j"
        ),
        released=(
            "PRIOR_PROB 0.5; gradients clipped at 5, long warm-up. The text: COUNT_TYPE instance."
        ),
        cost="one addition and one product of a row",
        use_when="End to end with CosineClassifier; no parameter to tune.",
    )

    def __init__(
        self,
        num_classes,
        class_stats=None,
        *,
        background_ratio: float = 6.3313,
        count_type: str = "image",
        objectness: str = "product",
        **kwargs,
    ):
        super().__init__(num_classes, class_stats, objectness=objectness, **kwargs)
        if not (math.isfinite(background_ratio) and background_ratio > 0):
            raise ValueError(
                f"Expected `background_ratio` to be finite and > 0, but got {background_ratio}"
            )
        self.background_ratio = background_ratio
        self.count_type = check_count_type(count_type)

    def odds_against(self) -> torch.Tensor:
        """a, (1, num_columns) float64."""
        count = counts_above_zero(self.require_class_stats(), self.count_type)
        background = self.background_ratio * count.sum()
        count = torch.cat([count, background.unsqueeze(0)])
        return (count.sum() / count - 1)[: self.num_columns].unsqueeze(0)

    def shift(self, gt_classes):
        """Delta, (1, num_columns)."""
        return self.odds_against().log() / -4

    def shifted(self, logits, gt_classes):
        """The logits u = 2 z + Delta."""
        return torch.add(self.shift(gt_classes).to(logits), logits, alpha=2)

    def element_weight(self, logits, targets, gt_classes):
        """Omega, a constant, the same in all rows."""
        odds = self.odds_against()
        return (odds * (1 / odds).log1p()).to(logits)
