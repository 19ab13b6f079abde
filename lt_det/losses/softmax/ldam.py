"""LDAM: a label-distribution-aware margin, with deferred re-weighting by settings."""

from __future__ import annotations

import math

import torch.nn.functional as F

from lt_det.losses.base import BOX_CLS_LOSS_REGISTRY
from lt_det.losses.class_balanced import ClassBalanced
from lt_det.losses.prior import counts_above_zero
from lt_det.losses.softmax.plain import SoftmaxLoss
from lt_det.registry import MethodCard

__all__ = ["LDAMLoss"]


@BOX_CLS_LOSS_REGISTRY.register()
class LDAMLoss(ClassBalanced, SoftmaxLoss):
    r"""Softmax loss with ``S_y = -scale Delta_y`` at the label alone, ``Delta_j ~ n_j^{-1/4}``.

    Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", NeurIPS
    2019, arXiv 1906.07413. The largest margin is ``max_margin``; the background has
    none, and at test logits are plain.

    LDAM-DRW is ``beta`` 0.9999 with ``start_step`` at four fifths of the training (epoch 160 of
    200); with ``weighted_mean`` it is normalised as released.

    The released code has the logits of a cosine classifier without a bias, from which it takes the
    margin before it multiplies both by 30: here that is the default ``scale`` with
    ``CosineClassifier`` and ``CLASSIFIER.COSINE.SCALE 30.0``. A linear classifier wants a ``scale``
    of 1, because a margin of ``max_margin scale = 15`` is out of its reach.

    Args:
        num_classes: see :class:`BoxClsLoss`.
        class_stats: see :class:`BoxClsLoss`; required in training.
        max_margin: margin of the rarest class, in units of a cosine.
        scale: how large the logits of a cosine of 1 are.
        beta: 0 weighs all classes alike; see :class:`ClassBalanced`.
        kwargs: see :class:`RowWeighted`.

    Raises:
        ValueError: if an option has no meaning.
    """

    CARD = MethodCard(
        paper="Cao et al., LDAM, NeurIPS 2019",
        arxiv="1906.07413",
        equation="softmax, S_y = -scale Delta_y, Delta_j = max_margin (n_min / n_j)^(1/4)",
        released=(
            "A cosine classifier of scale 30, without a bias. DRW: BETA 0.9999, START_STEP at 4/5 "
            "of the training, WEIGHTED_MEAN True."
        ),
        cost="R subtractions",
        use_when="With CosineClassifier, end to end.",
    )

    def __init__(
        self,
        num_classes,
        class_stats=None,
        *,
        max_margin: float = 0.5,
        scale: float = 30.0,
        beta: float = 0.0,
        **kwargs,
    ):
        super().__init__(num_classes, class_stats, beta=beta, **kwargs)
        for name, value in (("max_margin", max_margin), ("scale", scale)):
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"Expected `{name}` to be finite and >= 0, but got {value}")
        self.max_margin = max_margin
        self.scale = scale

    def margins(self):
        """Delta of the foreground classes, (K,) float64."""
        count = counts_above_zero(self.require_class_stats(), self.count_type)
        return self.max_margin * (count.min() / count) ** 0.25

    def shifted(self, logits, gt_classes):
        """See :meth:`ShiftedLoss.shifted`; one element of a row is."""
        margin = self.scale * F.pad(self.margins(), (0, 1))[gt_classes].unsqueeze(1)
        return logits.scatter_add(1, gt_classes.unsqueeze(1), -margin.to(logits))
