"""Classifier layers of the box head: features h -> logits z.

A classifier is registered in :data:`CLASSIFIER_REGISTRY` and built as
``cls(input_size, num_logits, num_classes, **hyper_parameters)``: D, C, and K, because the first K
logits are those of the foreground classes in every layout. Its keyword-only parameters are the
config keys ``MODEL.ROI_BOX_HEAD.CLASSIFIER.<NODE>.<PARAM>``. The layer is the predictor's
``cls_score``, so the parameters of the linear one are named as in Detectron2's checkpoints.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from fvcore.common.registry import Registry
from torch import nn

from lt_det.registry import MethodCard

__all__ = ["CLASSIFIER_REGISTRY", "CLASSIFIER_SUFFIX", "CosineClassifier", "LinearClassifier"]

CLASSIFIER_REGISTRY = Registry("CLASSIFIER")
CLASSIFIER_REGISTRY.__doc__ = "Classifier layers of :class:`LTFastRCNNOutputLayers`."
CLASSIFIER_SUFFIX = "Classifier"

# PyTorch's default of 1e-12 is 0 in half precision: all-zero features would become NaN.
_MIN_NORM = 1e-4


@CLASSIFIER_REGISTRY.register()
class LinearClassifier(nn.Linear):
    """Detectron2's classifier: z = W h + b, weights from N(0, 0.01)."""

    CARD = MethodCard(
        paper="Detectron2's",
        equation="z = W h + b",
        cost="the plain layer",
        use_when="Always, unless a row says otherwise: stock checkpoints load both ways.",
    )

    def __init__(self, input_size: int, num_logits: int, num_classes: int | None = None):
        super().__init__(input_size, num_logits)
        self.reset(0.0)

    def reset(self, bias: float) -> None:
        """Initialise anew, as Detectron2 does, with the given bias."""
        nn.init.normal_(self.weight, std=0.01)
        nn.init.constant_(self.bias, bias)


@CLASSIFIER_REGISTRY.register()
class CosineClassifier(nn.Module):
    """Normalised classifier: z_j = scale <W_j, h> / (|W_j| |h|) + b_j.

    Gidaris and Komodakis, "Dynamic Few-Shot Visual Learning without Forgetting", CVPR 2018. The
    bias is kept, unlike there, because sigmoid losses start from a prior probability.

    Args:
        input_size: D, the size of h.
        num_logits: C.
        num_classes: not used.
        scale: factor on the cosine; 20 in Seesaw loss's and ECM's code.
        learned_scale: train the scale.

    Raises:
        ValueError: if ``scale`` is not positive and finite.
    """

    CARD = MethodCard(
        paper="Gidaris and Komodakis, Dynamic Few-Shot Visual Learning, CVPR 2018",
        arxiv="1804.09458",
        equation="z_j = s cos(W_j, h) + b_j",
        released=(
            "mmdetection's keeps the bias too, at scale 20; cvpods's learns the scale "
            "(LEARNED_SCALE)."
        ),
        cost="two norms",
        use_when=(
            "End to end, where the norms of rare classes' weights stay small; with Seesaw, "
            "LDAM and ECM."
        ),
    )

    def __init__(
        self,
        input_size: int,
        num_logits: int,
        num_classes: int | None = None,
        *,
        scale: float = 20.0,
        learned_scale: bool = False,
    ):
        super().__init__()
        if not 0 < scale < math.inf:
            raise ValueError(f"Expected `scale` to be finite and > 0, but got {scale}")
        self.weight = nn.Parameter(torch.empty(num_logits, input_size))
        self.bias = nn.Parameter(torch.empty(num_logits))
        self.scale = nn.Parameter(torch.tensor(float(scale)), requires_grad=learned_scale)
        self._initial_scale = float(scale)
        self.reset(0.0)

    def reset(self, bias: float) -> None:
        """Initialise anew with the given bias."""
        nn.init.normal_(self.weight, std=0.01)
        nn.init.constant_(self.bias, bias)
        nn.init.constant_(self.scale, self._initial_scale)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits (R, C) of features (R, D)."""
        cosine = F.linear(
            F.normalize(features, dim=1, eps=_MIN_NORM),
            F.normalize(self.weight, dim=1, eps=_MIN_NORM),
        )
        return self.scale * cosine + self.bias
