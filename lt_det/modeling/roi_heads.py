"""ROI heads with lt_det's box predictor, by overriding Detectron2's public ``from_config``."""

from __future__ import annotations

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import ROI_HEADS_REGISTRY
from detectron2.modeling.roi_heads import (
    CascadeROIHeads,
    FastRCNNOutputLayers,
    Res5ROIHeads,
    StandardROIHeads,
)

from lt_det.modeling.box_predictor import LTFastRCNNOutputLayers, check_no_stock_loss

__all__ = ["LTCascadeROIHeads", "LTROIHeads", "LTRes5ROIHeads", "LTStandardROIHeads"]


class LTROIHeads:
    """What our ROI heads share; goes before a class of Detectron2's (or of yours).

    The box predictors that ``from_config`` builds are replaced by :class:`LTFastRCNNOutputLayers`.
    In training, a mask head without trainable parameters is skipped: its loss would be a constant.
    """

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict:
        """The parts of the class behind, with the box predictors replaced."""
        # First, because the stock predictor, which super() builds too, has checks of its own.
        check_no_stock_loss(cfg)
        arguments = super().from_config(cfg, input_shape)
        if "box_predictors" in arguments:
            stages = arguments["box_predictors"]
            arguments["box_predictors"] = [_long_tailed(cfg, stock) for stock in stages]
        else:
            arguments["box_predictor"] = _long_tailed(cfg, arguments["box_predictor"])
        return arguments

    def forward(self, images, features, proposals, targets=None):
        """See :class:`detectron2.modeling.roi_heads.ROIHeads`."""
        mask_on = self.mask_on
        self.mask_on = mask_on and not (self.training and self._mask_head_is_frozen())
        try:
            return super().forward(images, features, proposals, targets)
        finally:
            self.mask_on = mask_on

    def _mask_head_is_frozen(self) -> bool:
        return not any(p.requires_grad for p in self.mask_head.parameters())


@ROI_HEADS_REGISTRY.register()
class LTStandardROIHeads(LTROIHeads, StandardROIHeads):
    """Detectron2's StandardROIHeads (FPN, C5) with lt_det's box predictor."""


@ROI_HEADS_REGISTRY.register()
class LTCascadeROIHeads(LTROIHeads, CascadeROIHeads):
    """Detectron2's CascadeROIHeads with lt_det's box predictor, and a loss of its own, per stage.

    As in Detectron2 the stages' probabilities are averaged. Every stage counts with weight 1.
    """


@ROI_HEADS_REGISTRY.register()
class LTRes5ROIHeads(LTROIHeads, Res5ROIHeads):
    """Detectron2's Res5ROIHeads (C4) with lt_det's box predictor."""


def _long_tailed(cfg: CfgNode, stock: FastRCNNOutputLayers) -> LTFastRCNNOutputLayers:
    """Ours by ``cfg``, for the features and with the box encoding of the stock predictor."""
    shape = ShapeSpec(channels=stock.cls_score.in_features)
    return LTFastRCNNOutputLayers(cfg, shape, box2box_transform=stock.box2box_transform)
