"""Softmax cross-entropy over K + 1 columns: Detectron2's default loss, and the softmax link."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lt_det.losses.base import BOX_CLS_LOSS_REGISTRY
from lt_det.losses.shift import ShiftedLoss
from lt_det.registry import MethodCard

__all__ = ["SoftmaxLoss"]


@BOX_CLS_LOSS_REGISTRY.register()
class SoftmaxLoss(ShiftedLoss):
    """Cross-entropy of softmax(u), u = z + S, background last.

    S is zero here; a long-tail loss with the softmax link overrides :meth:`shift`. A mask weighs
    the columns inside the denominator, which is the shift log(mask); a bool one leaves them out.
    """

    CARD = MethodCard(
        paper="Detectron2's default",
        equation="-log softmax(z)_y over K + 1",
        cost="the plain loss",
        use_when="As the control of every softmax row, and for stage 1 of decoupled training.",
    )

    def forward(self, logits, gt_classes, mask=None):
        """See :meth:`BoxClsLoss.forward`."""
        logits = self.shifted(logits, gt_classes)
        if mask is not None:
            logits = logits + _log(mask, logits)
        return F.cross_entropy(logits, gt_classes, reduction="none")

    def plain(self):
        """The plain softmax loss."""
        if self.num_logits != self.num_classes + 1:
            return super().plain()
        return SoftmaxLoss(self.num_classes)


def _log(mask: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Logarithm of a mask, in the precision of ``like``."""
    weight = mask.to(like)
    # Of 0 and 1 the same, at a third of a logarithm's time.
    return 1 - 1 / weight if mask.dtype == torch.bool else weight.log()
