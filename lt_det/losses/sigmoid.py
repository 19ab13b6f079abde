"""Sigmoid (multiple binary) cross-entropy over K columns, and the sigmoid link."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from lt_det.losses.base import BOX_CLS_LOSS_REGISTRY
from lt_det.losses.shift import ShiftedLoss
from lt_det.method_card import MethodCard

__all__ = ["SigmoidLoss"]


@BOX_CLS_LOSS_REGISTRY.register()
class SigmoidLoss(ShiftedLoss):
    """Binary cross-entropy of sigmoid(u), u = z + S, summed over the K classes.

    A background RoI is a negative of every class. S is zero here; a long-tail loss with the
    sigmoid link overrides :meth:`shift`. A mask weighs the elements.

    Differences from Detectron2's ``USE_SIGMOID_CE``: no dead background column, and the classifier
    starts from a prior probability (Lin et al., "Focal Loss for Dense Object Detection", section
    4.1), without which the first loss of K = 1,203 classes is 834 a RoI.

    Args:
        num_classes: see :class:`BoxClsLoss`.
        class_stats: see :class:`BoxClsLoss`.
        prior_prob: probability every class starts from; BALMS's code uses 0.001, Detic's 0.01.
        background_column: keep Detectron2's unused last column, so that checkpoints of models
            trained with ``USE_SIGMOID_CE`` load.

    Raises:
        ValueError: if ``prior_prob`` is not in (0, 1).
    """

    CARD = MethodCard(
        paper="Detectron2's USE_SIGMOID_CE",
        equation="sum_j BCE(sigmoid(z_j), t_j) over K",
        released=(
            "Detectron2 has no prior-probability bias (PRIOR_PROB 0.5) and an unused column "
            "(BACKGROUND_COLUMN)."
        ),
        cost="the plain loss",
        use_when="As the control of every sigmoid row.",
    )

    def __init__(
        self,
        num_classes,
        class_stats=None,
        *,
        prior_prob: float = 0.01,
        background_column: bool = False,
    ):
        super().__init__(num_classes, class_stats)
        if not 0 < prior_prob < 1:
            raise ValueError(f"Expected `prior_prob` to be in (0, 1), but got {prior_prob}")
        self.prior_prob = prior_prob
        self.background_column = background_column

    @property
    def num_logits(self) -> int:
        """K, or K + 1 with the unused background column."""
        return self.num_classes + int(self.background_column)

    def init_bias(self) -> float:
        """Logit of ``prior_prob``."""
        return -math.log((1 - self.prior_prob) / self.prior_prob)

    def forward(self, logits, gt_classes, mask=None):
        """See :meth:`BoxClsLoss.forward`."""
        logits = self.shifted(logits[:, : self.num_classes], gt_classes)
        weight = None if mask is None else mask[:, : self.num_classes].to(logits)
        loss = F.binary_cross_entropy_with_logits(
            logits, self.targets(logits, gt_classes), weight, reduction="none"
        )
        return loss.sum(dim=1)

    def targets(self, logits: torch.Tensor, gt_classes: torch.Tensor) -> torch.Tensor:
        """One-hot targets (R, K); rows of background are zero."""
        target = torch.zeros_like(logits)
        foreground = (gt_classes < self.num_classes).nonzero().flatten()
        target[foreground, gt_classes[foreground]] = 1
        return target

    def plain(self):
        """The plain sigmoid loss."""
        return SigmoidLoss(self.num_classes, background_column=self.background_column)

    def predict_probs(self, logits):
        """Sigmoid probabilities with a zero background column, (R, K + 1)."""
        # Sliced last, as in Detectron2: a strided sigmoid may round otherwise.
        return F.pad(logits.sigmoid()[:, : self.num_classes], (0, 1))
