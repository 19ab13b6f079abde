"""Softmax equalization loss: rare classes are left out of other classes' denominators."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lt_det.losses.base import BOX_CLS_LOSS_REGISTRY
from lt_det.losses.prior import check_count_type, frequency
from lt_det.losses.softmax.plain import SoftmaxLoss
from lt_det.registry import MethodCard

__all__ = ["SoftmaxEQLLoss"]


@BOX_CLS_LOSS_REGISTRY.register()
class SoftmaxEQLLoss(SoftmaxLoss):
    r"""Softmax loss with weights ``w_j = 1 - beta T(f_j) (1 - t_j)`` in the denominator.

    Tan et al., "Equalization Loss for Long-Tailed Object Recognition", CVPR 2020, arXiv 2003.05176,
    softmax form. T(f_j) is 1 for tail classes, of a frequency below ``threshold``; beta is 1 with
    probability ``drop_rate``, drawn for every RoI and class. So a tail class is seldom the negative
    of another class's RoI.

    The softmax form of the paper is for classification, without a background. The repository has
    no code of it; its author posted some, for ImageNet-LT, in issue 9. ``fg_only`` keeps all
    classes in the denominator of background RoIs, as the detector's sigmoid form does: otherwise
    nothing holds tail classes below the background.

    Args:
        num_classes: see :class:`BoxClsLoss`.
        class_stats: see :class:`BoxClsLoss`; required in training.
        threshold: lambda, a frequency; 0 is the plain loss. 0.00177 on LVIS v0.5 and 0.0011 on v1
            in the sigmoid form's code.
        drop_rate: gamma, the probability of beta = 1; 0 is the plain loss. The default is ours.
        fg_only: leave tail classes out in the rows of foreground RoIs alone.
        count_type: "image", share of the pictures with the class, or "instance", share of all
            instances, which is what classification has.

    Raises:
        ValueError: if an option has no meaning.
    """

    corrects_imbalance = True
    CARD = MethodCard(
        paper="Tan et al., Equalization Loss, CVPR 2020",
        arxiv="2003.05176",
        equation=(
            "softmax, weight 1 - beta T(f_j) (1 - t_j) of j in the denominator, "
            "beta ~ Bernoulli(gamma)"
        ),
        released="For classification; FG_ONLY is that of the detector's sigmoid form.",
        cost=(
            "2.6 times cross-entropy on CPU: a random number a class of foreground RoIs, a bool "
            "(R, K + 1)"
        ),
        use_when="To compare with; a threshold has to be chosen for other data than LVIS.",
    )

    def __init__(
        self,
        num_classes,
        class_stats=None,
        *,
        threshold: float = 0.0011,
        drop_rate: float = 0.9,
        fg_only: bool = True,
        count_type: str = "image",
    ):
        super().__init__(num_classes, class_stats)
        for name, value in (("threshold", threshold), ("drop_rate", drop_rate)):
            if not 0 <= value <= 1:
                raise ValueError(f"Expected `{name}` to be in [0, 1], but got {value}")
        self.threshold = threshold
        self.drop_rate = drop_rate
        self.fg_only = fg_only
        self.count_type = check_count_type(count_type)

    def draw_mask(self, gt_classes, known_negatives=None, weights=None):
        """Which classes are in the denominator, bool (R, K + 1)."""
        is_tail = frequency(self.require_class_stats(), self.count_type) < self.threshold
        kept = torch.ones(len(gt_classes), self.num_logits, dtype=torch.bool)
        rows = torch.arange(len(gt_classes))
        if self.fg_only:
            rows = rows[gt_classes.cpu() < self.num_classes]
        # On CPU, where the draw is the same for every device.
        drawn = torch.rand(len(rows), self.num_logits) >= self.drop_rate
        kept[rows] = drawn | ~F.pad(is_tail, (0, 1)).cpu()
        return kept.to(gt_classes.device).scatter_(1, gt_classes.unsqueeze(1), True)
