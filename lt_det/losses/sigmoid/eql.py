"""Equalization loss, with the sigmoid link."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lt_det.losses.base import BOX_CLS_LOSS_REGISTRY
from lt_det.losses.prior import frequency
from lt_det.losses.sigmoid.plain import SigmoidLoss
from lt_det.registry import MethodCard

__all__ = ["EQLLoss"]


@BOX_CLS_LOSS_REGISTRY.register()
class EQLLoss(SigmoidLoss):
    """Sigmoid loss in which foreground RoIs of other classes are no negatives of tail classes.

    Tan et al., "Equalization Loss for Long-Tailed Object Recognition", CVPR 2020, arXiv 2003.05176:
    Omega_ij = 1 - E_i T_j (1 - t_ij), with E_i = 1 for foreground RoIs and T_j = 1 for tail
    classes, whose share of images is below lambda. Background RoIs stay negatives of all.

    On LVIS the text keeps the weight of classes that are annotated for the image (its section 4.2,
    quoted in issue 4 of the released repository), which is ``keep_known_negatives``. The released
    code does not, because it did not help (its author, there).

    Args:
        num_classes: see :class:`BoxClsLoss`.
        class_stats: see :class:`BoxClsLoss`; required in training.
        threshold: lambda, as in the repository of EQL v2 for LVIS v1; 0.00177 as released for
            v0.5. Both are about 100 images, where LVIS's frequent classes begin.
        keep_known_negatives: see above.
        kwargs: see :class:`SigmoidLoss`.

    Raises:
        ValueError: if ``threshold`` is not in [0, 1].
    """

    corrects_imbalance = True
    CARD = MethodCard(
        paper="Tan et al., Equalization Loss, CVPR 2020",
        arxiv="2003.05176",
        equation="sigmoid, Omega_ij = 1 - [i is foreground] [f_j < lambda] (1 - t_ij)",
        released="PRIOR_PROB 0.001; v0.5: THRESHOLD 0.00177. The text: KEEP_KNOWN_NEGATIVES True.",
        cost="a weight an element",
        use_when="End to end, with repeat factors or without; LINK gumbel for GOL's weaker host.",
    )

    def __init__(
        self,
        num_classes,
        class_stats=None,
        *,
        threshold: float = 0.0011,
        keep_known_negatives: bool = False,
        **kwargs,
    ):
        super().__init__(num_classes, class_stats, **kwargs)
        if not 0 <= threshold <= 1:
            raise ValueError(f"Expected `threshold` to be in [0, 1], but got {threshold}")
        self.threshold = threshold
        self.keep_known_negatives = keep_known_negatives

    @property
    def uses_known_negatives(self) -> bool:
        """See :attr:`BoxClsLoss.uses_known_negatives`."""
        return self.keep_known_negatives or super().uses_known_negatives

    def tail_classes(self) -> torch.Tensor:
        """Which classes are rarer than lambda, bool (K,)."""
        return frequency(self.require_class_stats(), "image") < self.threshold

    def draw_mask(self, gt_classes, known_negatives=None, weights=None):
        """Here too, with ``keep_known_negatives``, the weight: nobody else knows the lists."""
        mask = super().draw_mask(gt_classes, known_negatives, weights)
        if not self.keep_known_negatives:
            return mask
        kept = ~self._ignored(gt_classes) | self.one_hot(gt_classes, self.num_classes, torch.bool)
        kept = self.with_background(kept | known_negatives)
        return kept if mask is None else kept & mask

    def element_weight(self, logits, targets, gt_classes):
        """Omega, a constant."""
        if self.keep_known_negatives:
            return None
        ignored = F.pad(self._ignored(gt_classes), (0, self.num_columns - self.num_classes))
        return targets.masked_fill(~ignored, 1)

    def _ignored(self, gt_classes: torch.Tensor) -> torch.Tensor:
        """E T, the elements that are no negatives, bool (R, K)."""
        return (gt_classes < self.num_classes).unsqueeze(1) & self.tail_classes()
