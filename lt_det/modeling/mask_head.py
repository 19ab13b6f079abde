"""The normalised mask predictor, which results of Seesaw loss and its successors bundle."""

from __future__ import annotations

import math

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads.mask_head import ROI_MASK_HEAD_REGISTRY, MaskRCNNConvUpsampleHead
from torch import nn

from lt_det.registry import MethodCard
from lt_det.utils.seeding import own_draws

__all__ = ["NormedConv2d", "NormedMaskRCNNConvUpsampleHead"]

# Features may be all zero.
_EPSILON = 1e-6


class NormedConv2d(nn.Conv2d):
    """A convolution of normalised inputs and weights: ``temperature <w_j, x> / (|w_j||x|)^power``.

    Norms go over channels, at each place of the input and of the kernel. The bias is added as it
    is. As in the code of Wang et al., "Seesaw Loss", CVPR 2021, arXiv 2008.10032.

    Args:
        args: those of :class:`torch.nn.Conv2d`.
        temperature: factor on the normalised product.
        power: exponent of the norms; 0 is the plain convolution times ``temperature``.
        kwargs: those of :class:`torch.nn.Conv2d`.

    Raises:
        ValueError: if ``temperature`` is not positive and finite, or ``power`` not in [0, inf).
    """

    def __init__(self, *args, temperature: float = 20.0, power: float = 1.0, **kwargs):
        super().__init__(*args, **kwargs)
        if not 0 < temperature < math.inf:
            raise ValueError(f"Expected `temperature` to be finite and > 0, but got {temperature}")
        if not 0 <= power < math.inf:
            raise ValueError(f"Expected `power` to be finite and >= 0, but got {power}")
        self.temperature = temperature
        self.power = power

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (N, C', H', W') of maps (N, C, H, W)."""
        weight = self._normed(self.weight)
        return self._conv_forward(self.temperature * self._normed(x), weight, self.bias)

    def _normed(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor / (tensor.norm(dim=1, keepdim=True) ** self.power + _EPSILON)


@ROI_MASK_HEAD_REGISTRY.register()
class NormedMaskRCNNConvUpsampleHead(MaskRCNNConvUpsampleHead):
    """Detectron2's mask head with a normalised predictor: no class has larger logits by its norm.

    Choose it by ``MODEL.ROI_MASK_HEAD.NAME``, under any ROI heads; its keys are
    ``MODEL.ROI_MASK_HEAD.NORMED_PREDICTOR``. Parameters are named as in Detectron2's head, so
    checkpoints load both ways, though a predictor trained in one is of little use in the other.
    """

    CARD = MethodCard(
        paper="Wang et al., Seesaw Loss, CVPR 2021",
        arxiv="2008.10032",
        equation="mask logits tau <w_j, x> / (norm(w_j) norm(x))",
        released="Published results of LOCE, ECM and GOL include it.",
        cost="two norms of the mask features",
        use_when="To compare with those results; published as +0.4 mask AP under Seesaw loss.",
    )

    @configurable
    def __init__(
        self, input_shape: ShapeSpec, *, temperature: float = 20.0, power: float = 1.0, **kwargs
    ):
        """
        Args:
            input_shape: of the features.
            temperature: see :class:`NormedConv2d`, as ``power``.
            power: 1 as released.
            kwargs: see :class:`MaskRCNNConvUpsampleHead`.
        """
        super().__init__(input_shape, **kwargs)
        stock = self.predictor
        with own_draws():
            self.predictor = NormedConv2d(
                stock.in_channels,
                stock.out_channels,
                kernel_size=1,
                temperature=temperature,
                power=power,
            )
        self.predictor.load_state_dict(stock.state_dict())

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict:
        """Detectron2's arguments, and those of the predictor."""
        node = cfg.MODEL.ROI_MASK_HEAD.NORMED_PREDICTOR
        arguments = super().from_config(cfg, input_shape)
        return {**arguments, "temperature": node.TEMPERATURE, "power": node.POWER}
