"""Learnable weight scaling (LWS): one factor a class, on a frozen classifier."""

from __future__ import annotations

import torch

from lt_det.modeling.classifiers.base import CLASSIFIER_REGISTRY
from lt_det.modeling.classifiers.foreground_map import ForegroundMapClassifier
from lt_det.registry import MethodCard

__all__ = ["LearnedScaleClassifier"]


@CLASSIFIER_REGISTRY.register()
class LearnedScaleClassifier(ForegroundMapClassifier):
    """LWS: z_j = s_j <W_j, h> + b_j on the foreground, with s = 1 at the start.

    Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020,
    arXiv 1910.09217: stage 2 trains s alone, with class-aware sampling.

    The released classification code scales the bias too; the detector code of EQL v2's authors
    scales the weights only, those of the background too. Here the background is not scaled.

    Args:
        input_size: see :class:`ForegroundMapClassifier`.
        num_logits: see :class:`ForegroundMapClassifier`.
        num_classes: see :class:`ForegroundMapClassifier`.
        scale_bias: z_j = s_j (<W_j, h> + b_j), as in the classification code.

    Raises:
        ValueError: see :class:`ForegroundMapClassifier`.
    """

    CARD = MethodCard(
        paper="Kang et al., Decoupling, ICLR 2020",
        arxiv="1910.09217",
        equation="z_j = s_j <W_j, h> + b_j, W frozen",
        released=(
            "The classification code scales the bias too (SCALE_BIAS True), EQL v2's detector the "
            "background."
        ),
        cost="K parameters train",
        use_when="Stage 2 with class-aware sampling, when W shall stay.",
    )

    def __init__(
        self, input_size: int, num_logits: int, num_classes: int, *, scale_bias: bool = False
    ):
        super().__init__(input_size, num_logits, num_classes, scale=torch.ones(num_classes))
        self.scale_bias = scale_bias

    def map_foreground(self, logits, features):
        """See :meth:`ForegroundMapClassifier.map_foreground`."""
        scale = self.foreground_map["scale"]
        scaled = scale * logits
        if self.scale_bias:
            return scaled
        return scaled + (1 - scale) * self.bias[: self.num_classes]
