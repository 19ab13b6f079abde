"""MARC: a learned margin and scale a class, on a frozen classifier."""

from __future__ import annotations

import torch

from lt_det.modeling.classifiers.base import CLASSIFIER_REGISTRY
from lt_det.modeling.classifiers.foreground_map import ForegroundMapClassifier
from lt_det.registry import MethodCard

__all__ = ["MARCClassifier"]


@CLASSIFIER_REGISTRY.register()
class MARCClassifier(ForegroundMapClassifier):
    """MARC: z_j = omega_j (<W_j, h> + b_j) + beta_j |W_j| on the foreground, omega = 1, beta = 0.

    Wang et al., "Margin Calibration for Long-Tailed Visual Recognition", ACML 2022, arXiv
    2112.07225; formula as in the released code (microsoft/robustlearn). ``z_j / |W_j|`` is the
    distance of h from the hyperplane of class j: MARC learns an affine map of every distance, with
    a re-weighted loss (:class:`lt_det.losses.ReweightedSoftmaxLoss`).

    The parameters are ``foreground_map.omega`` and ``foreground_map.beta``. As released, |W| is
    computed in every forward pass, at 1 / R of the product's cost, so it belongs to the weights
    however they came in. The released code computes W h + b and |W| without a gradient; here
    weights that train too, which they do not as published, get theirs. The paper has no background;
    here it stays as it is.

    Args:
        input_size: see :class:`ForegroundMapClassifier`.
        num_logits: see :class:`ForegroundMapClassifier`.
        num_classes: see :class:`ForegroundMapClassifier`.

    Raises:
        ValueError: see :class:`ForegroundMapClassifier`.
    """

    CARD = MethodCard(
        paper="Wang et al., MARC, ACML 2022",
        arxiv="2112.07225",
        equation="z_j = omega_j (<W_j, h> + b_j) + beta_j norm(W_j), W frozen",
        released="Weight decay on omega and beta; for classification, without a background.",
        cost="K norms; 2 K parameters train",
        use_when="Stage 2 with ReweightedSoftmaxLoss.",
    )

    def __init__(self, input_size: int, num_logits: int, num_classes: int):
        super().__init__(
            input_size,
            num_logits,
            num_classes,
            omega=torch.ones(num_classes),
            beta=torch.zeros(num_classes),
        )

    def map_foreground(self, logits, features):
        """See :meth:`ForegroundMapClassifier.map_foreground`."""
        norm = self.weight[: self.num_classes].norm(dim=1)
        return self.foreground_map["omega"] * logits + self.foreground_map["beta"] * norm
