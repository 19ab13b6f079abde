"""ROI heads with lt_det's box predictor, by overriding Detectron2's public ``from_config``."""

from __future__ import annotations

from detectron2.modeling import ROI_HEADS_REGISTRY
from detectron2.modeling.roi_heads import StandardROIHeads

from lt_det.modeling.box_predictor import LTFastRCNNOutputLayers, check_no_stock_loss

__all__ = ["LTStandardROIHeads"]


@ROI_HEADS_REGISTRY.register()
class LTStandardROIHeads(StandardROIHeads):
    """Detectron2's StandardROIHeads with an :class:`LTFastRCNNOutputLayers`.

    In training, a mask head without trainable parameters is skipped: its loss would be a constant.
    """

    @classmethod
    def from_config(cls, cfg, input_shape) -> dict:
        """Detectron2's parts, with the box predictor replaced."""
        # First, because the stock predictor, which super() builds too, has checks of its own.
        check_no_stock_loss(cfg)
        arguments = super().from_config(cfg, input_shape)
        arguments["box_predictor"] = LTFastRCNNOutputLayers(cfg, arguments["box_head"].output_shape)
        return arguments

    def forward(self, images, features, proposals, targets=None):
        """See :class:`StandardROIHeads`."""
        mask_on = self.mask_on
        self.mask_on = mask_on and not (self.training and self._mask_head_is_frozen())
        try:
            return super().forward(images, features, proposals, targets)
        finally:
            self.mask_on = mask_on

    def _mask_head_is_frozen(self) -> bool:
        return not any(p.requires_grad for p in self.mask_head.parameters())
