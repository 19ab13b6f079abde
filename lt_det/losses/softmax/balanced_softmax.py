"""Balanced Softmax: the training prior goes into the training logits."""

from __future__ import annotations

import math

import torch.nn.functional as F

from lt_det.losses.base import BOX_CLS_LOSS_REGISTRY
from lt_det.losses.prior import check_count_type, class_prior
from lt_det.losses.softmax.plain import SoftmaxLoss
from lt_det.registry import MethodCard

__all__ = ["BalancedSoftmaxLoss"]


@BOX_CLS_LOSS_REGISTRY.register()
class BalancedSoftmaxLoss(SoftmaxLoss):
    r"""Softmax loss on z + S with ``S_j = tau log(K q_j)``, ``S_background = 0``; plain at test.

    Ren et al., "Balanced Meta-Softmax for Long-Tailed Visual Recognition", NeurIPS 2020,
    arXiv 2007.10740, eq. 3-4: if the test prior is uniform, the training posterior is
    proportional to ``n_j exp(z_j)``.

    The paper has no background class. Here the ratio of background to foreground is kept from
    training and only the foreground is balanced: ``p_test(j) = p_train(foreground) / K``, which
    gives ``S_background = 0`` and ``S_j = log(K q_j)``. Raw ``log n_j`` beside an unshifted
    background would lower every foreground score at test by the same constant.

    Args:
        num_classes: see :class:`BoxClsLoss`.
        class_stats: see :class:`BoxClsLoss`; required in training.
        tau: strength; 0 is the plain softmax, 1 the paper's.
        count_type: "instance" (the paper's n_j) or "image".
        fg_only: shift the rows of foreground RoIs only, as the released sigmoid recipe does. The
            default shifts all rows, which a posterior over K + 1 classes needs.

    Raises:
        ValueError: if an option has no meaning.
    """

    corrects_imbalance = True
    CARD = MethodCard(
        paper="Ren et al., Balanced Meta-Softmax, NeurIPS 2020",
        arxiv="2007.10740",
        equation="softmax, S_j = tau log(K q_j), S_background = 0",
        released="None has a background column: the detector called so is Balanced Sigmoid.",
        cost="one addition of a row",
        use_when="Stage 2 of a softmax detector, natural sampling; nothing to tune.",
    )

    def __init__(
        self,
        num_classes,
        class_stats=None,
        *,
        tau: float = 1.0,
        count_type: str = "instance",
        fg_only: bool = False,
    ):
        super().__init__(num_classes, class_stats)
        if not (math.isfinite(tau) and tau >= 0):
            raise ValueError(f"Expected `tau` to be finite and >= 0, but got {tau}")
        self.tau = tau
        self.count_type = check_count_type(count_type)
        self.fg_only = fg_only

    def shift(self, gt_classes):
        """(1, K + 1)."""
        prior = class_prior(self.require_class_stats(), self.count_type)
        foreground_shift = self.tau * (self.num_classes * prior).log()
        return F.pad(foreground_shift, (0, 1)).unsqueeze(0)

    def shifted_rows(self, gt_classes):
        """Rows of foreground RoIs with ``fg_only``."""
        return gt_classes < self.num_classes if self.fg_only else None
