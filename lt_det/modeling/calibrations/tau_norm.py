"""Tau-normalisation: take the length of a class's weights out of its logits."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import nn

from lt_det.modeling.calibrations.base import CALIBRATION_REGISTRY, BoxCalibration
from lt_det.registry import MethodCard

__all__ = ["TauNormCalibration"]

# Of a class whose weights are all zero.
_MIN_NORM = 1e-12


@CALIBRATION_REGISTRY.register()
class TauNormCalibration(BoxCalibration):
    """z_j = <W_j, h> / |W_j|^tau on the foreground.

    Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020,
    arXiv 1910.09217. Computed from the logits, of which it is an affine map.

    The paper has no background. Here its row and bias stay as they are, as in BAGS's script for
    LVIS detectors, which keeps the biases of all rows too. Its README has 11.0 box AP for
    tau-normalisation and 21.6 for a variant "select", of a detector with 21.0.

    Args:
        tau: strength; 0 with the bias kept is the classifier as it is. The released code prints
            accuracies for 0 to 2 in steps of 0.1.
        drop_bias: without the bias of the normalised rows, as released.
        background: normalise the background too.

    Raises:
        ValueError: if ``tau`` is negative or not finite.
    """

    CARD = MethodCard(
        paper="Kang et al., Decoupling, ICLR 2020",
        arxiv="1910.09217",
        equation="<W_j, h> / norm(W_j)^tau",
        released="For classification; BAGS's script for detectors keeps the bias: DROP_BIAS False.",
        cost="no training",
        use_when="To see in minutes what the norms of W cost; linear classifiers.",
    )

    def __init__(self, *, tau: float = 1.0, drop_bias: bool = True, background: bool = False):
        if not (math.isfinite(tau) and tau >= 0):
            raise ValueError(f"Expected `tau` to be finite and >= 0, but got {tau}")
        self.tau = tau
        self.drop_bias = drop_bias
        self.background = background

    def check(self, cls_loss, classifier):
        """Besides the layout: raise ValueError unless the classifier is linear."""
        super().check(cls_loss, classifier)
        if type(classifier).forward is not nn.Linear.forward:
            raise ValueError(
                "TEST.CALIBRATION.NAME 'TauNormCalibration' normalises a linear layer, but the "
                f"classifier is a {type(classifier).__name__}: set it to '', or evaluate a model "
                "with MODEL.ROI_BOX_HEAD.CLASSIFIER.NAME 'LinearClassifier'"
            )

    def calibrated(self, logits, cls_loss, classifier):
        """See :meth:`BoxCalibration.calibrated`."""
        number = len(classifier.weight) if self.background else cls_loss.num_classes
        weight, bias = classifier.weight[:number].to(logits), classifier.bias[:number].to(logits)
        scale = weight.norm(dim=1).clamp(min=_MIN_NORM) ** -self.tau
        offset = -scale * bias if self.drop_bias else (1 - scale) * bias
        others = (0, logits.shape[1] - number)
        return logits * F.pad(scale, others, value=1.0) + F.pad(offset, others)
