"""Logit adjustment in training: Balanced Softmax by another road."""

from __future__ import annotations

import math

import torch.nn.functional as F

from lt_det.losses.base import BOX_CLS_LOSS_REGISTRY
from lt_det.losses.softmax.balanced_softmax import BalancedSoftmaxLoss
from lt_det.registry import MethodCard

__all__ = ["LogitAdjustmentLoss"]


@BOX_CLS_LOSS_REGISTRY.register()
class LogitAdjustmentLoss(BalancedSoftmaxLoss):
    """Softmax loss on z + S with ``S_j = tau log(K q_j)``, ``S_background = 0``; plain at test.

    Menon et al., "Long-Tail Learning via Logit Adjustment", ICLR 2021, arXiv 2007.07314, its loss.
    The post-hoc form is :class:`lt_det.modeling.LogitAdjustmentCalibration`.

    The paper has no background and adds ``tau log q_j``. A constant on all classes is nothing
    there, but ``-tau log K`` beside an unshifted background raises every foreground score at test;
    ``add_log_k=False`` is that text. With it, this is :class:`BalancedSoftmaxLoss`. The released
    code adds 1e-12 to q; here counts of zero are half an observation.

    Args:
        num_classes: see :class:`BalancedSoftmaxLoss`.
        class_stats: see :class:`BalancedSoftmaxLoss`.
        add_log_k: False adds tau log q_j as in the paper's text.
        kwargs: see :class:`BalancedSoftmaxLoss`.

    Raises:
        ValueError: if an option has no meaning.
    """

    CARD = MethodCard(
        paper="Menon et al., Logit Adjustment, ICLR 2021",
        arxiv="2007.07314",
        equation="softmax, S_j = tau log(K q_j), S_background = 0",
        released="No background; S_j = tau log q_j is ADD_LOG_K False.",
        cost="one addition of a row",
        use_when="As Balanced Softmax, of which TAU is the strength.",
    )

    def __init__(self, num_classes, class_stats=None, *, add_log_k: bool = True, **kwargs):
        super().__init__(num_classes, class_stats, **kwargs)
        self.add_log_k = add_log_k

    def shift(self, gt_classes):
        """(1, K + 1)."""
        shift = super().shift(gt_classes)
        if self.add_log_k:
            return shift
        constant = shift.new_full((self.num_classes,), -self.tau * math.log(self.num_classes))
        return shift + F.pad(constant, (0, 1))
