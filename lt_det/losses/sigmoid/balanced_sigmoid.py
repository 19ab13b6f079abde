"""Balanced Sigmoid: the training prior goes into the binary logits."""

from __future__ import annotations

import math

import torch.nn.functional as F

from lt_det.losses.base import BOX_CLS_LOSS_REGISTRY
from lt_det.losses.prior import check_count_type, frequency
from lt_det.losses.sigmoid.plain import SigmoidLoss
from lt_det.registry import MethodCard

__all__ = ["BalancedSigmoidLoss"]


@BOX_CLS_LOSS_REGISTRY.register()
class BalancedSigmoidLoss(SigmoidLoss):
    r"""Sigmoid loss on z + S with ``S_j = -log((1 - f_j) / f_j)``; plain sigmoid at test.

    Ren et al., "Balanced Meta-Softmax for Long-Tailed Visual Recognition", NeurIPS 2020,
    arXiv 2007.10740, eq. 36 of the supplement; "Balanced Activation", arXiv 2008.11037.

    The released detector code and the text differ; both are reachable:

    ==================== ========================= =============================================
    option               default, as released      eq. 36 of the text
    ==================== ========================= =============================================
    ``fg_only``          True: plain sigmoid on    False: every row is shifted
                         background rows
    ``add_log_k``        False: constant dropped   True: ``+ log(K - 1)``
    ``count_type``       "image": f_j = share of   "instance": f_j = n_j / sum n
                         images with the class
    ==================== ========================= =============================================

    The supplement's remark mentions the first two, nothing mentions the third. The released code
    also writes the shift into the caller's logits; here the input stays untouched.

    Args:
        num_classes: see :class:`BoxClsLoss`.
        class_stats: see :class:`BoxClsLoss`; required in training.
        fg_only: see the table.
        add_log_k: see the table; no effect for K = 1, where the constant would be infinite.
        count_type: see the table.
        kwargs: see :class:`SigmoidLoss`.

    Raises:
        ValueError: if an option has no meaning.
    """

    corrects_imbalance = True
    CARD = MethodCard(
        paper="Ren et al., Balanced Meta-Softmax, NeurIPS 2020",
        arxiv="2007.10740",
        equation="sigmoid, S_j = -log((1 - f_j) / f_j)",
        released=(
            "The defaults, PRIOR_PROB 0.001. The text: FG_ONLY False, ADD_LOG_K True, COUNT_TYPE "
            "instance."
        ),
        cost="one addition of a row",
        use_when="Stage 2 of a sigmoid detector, with repeat factors as published.",
    )

    def __init__(
        self,
        num_classes,
        class_stats=None,
        *,
        fg_only: bool = True,
        add_log_k: bool = False,
        count_type: str = "image",
        **kwargs,
    ):
        super().__init__(num_classes, class_stats, **kwargs)
        self.fg_only = fg_only
        self.add_log_k = add_log_k
        self.count_type = check_count_type(count_type)

    def shift(self, gt_classes):
        """(1, K), and 0 for a background column that learns."""
        shift = frequency(self.require_class_stats(), self.count_type).logit().unsqueeze(0)
        if self.add_log_k and self.num_classes > 1:
            shift = shift + math.log(self.num_classes - 1)
        return F.pad(shift, (0, self.num_columns - self.num_classes))

    def shifted_rows(self, gt_classes):
        """Rows of foreground RoIs with ``fg_only``."""
        return gt_classes < self.num_classes if self.fg_only else None
