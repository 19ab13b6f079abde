"""DisAlign: an affine map a class, as far as a confidence of the RoI asks for it."""

from __future__ import annotations

import torch

from lt_det.modeling.classifiers.base import CLASSIFIER_REGISTRY
from lt_det.modeling.classifiers.foreground_map import ForegroundMapClassifier
from lt_det.registry import MethodCard

__all__ = ["DisAlignClassifier"]


@CLASSIFIER_REGISTRY.register()
class DisAlignClassifier(ForegroundMapClassifier):
    """DisAlign: c (alpha_j z_j + beta_j) + (1 - c) z_j on the foreground, c = sigmoid(<v, h> + v0).

    Zhang et al., "Distribution Alignment: A Unified Framework for Long-tail Visual Recognition",
    CVPR 2021, arXiv 2103.16370. alpha = 1 and beta = 0 at the start: the classifier of stage 1.
    (The released classification layer is (1 + c alpha) z + c beta with alpha = 1, which is not;
    this is the detector's.) Its loss is :class:`lt_det.losses.ReweightedSoftmaxLoss`.

    The parameters are ``foreground_map.alpha``, ``.beta``, ``.confidence_weight`` (D,) and
    ``.confidence_bias`` (). The last two start at 0, a confidence of 1/2 everywhere; the released
    detector draws v from N(0, 0.01).

    Args:
        input_size: see :class:`ForegroundMapClassifier`.
        num_logits: see :class:`ForegroundMapClassifier`.
        num_classes: see :class:`ForegroundMapClassifier`.

    Raises:
        ValueError: see :class:`ForegroundMapClassifier`.
    """

    CARD = MethodCard(
        paper="Zhang et al., Distribution Alignment, CVPR 2021",
        arxiv="2103.16370",
        equation="c (alpha_j z_j + beta_j) + (1 - c) z_j, c = sigmoid(<v, h> + v0)",
        released=(
            "The detector's form, whose v starts from N(0, 0.01); the classification layer is no "
            "identity at the start."
        ),
        cost="one product of D; 2 K + D + 1 parameters train",
        use_when="Stage 2 with ReweightedSoftmaxLoss.",
    )

    def __init__(self, input_size: int, num_logits: int, num_classes: int):
        super().__init__(
            input_size,
            num_logits,
            num_classes,
            alpha=torch.ones(num_classes),
            beta=torch.zeros(num_classes),
            confidence_weight=torch.zeros(input_size),
            confidence_bias=torch.zeros(()),
        )

    def map_foreground(self, logits, features):
        """See :meth:`ForegroundMapClassifier.map_foreground`."""
        alpha, beta = self.foreground_map["alpha"], self.foreground_map["beta"]
        confidence = features @ self.foreground_map["confidence_weight"]
        confidence = (confidence + self.foreground_map["confidence_bias"]).sigmoid().unsqueeze(1)
        # c (alpha z + beta) + (1 - c) z, written as a change of z that is exactly 0 at the start.
        return logits + confidence * ((alpha - 1) * logits + beta)
