"""ROI heads with lt_det's box predictor, by overriding Detectron2's public ``from_config``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import ROI_HEADS_REGISTRY
from detectron2.modeling.roi_heads import (
    CascadeROIHeads,
    FastRCNNOutputLayers,
    Res5ROIHeads,
    StandardROIHeads,
)
from torch import nn

from lt_det.modeling.box_predictor import LTFastRCNNOutputLayers
from lt_det.modeling.build import check_no_stock_loss, linear_classifier
from lt_det.modeling.classifiers.base import LinearClassifier
from lt_det.modeling.stock_overrides import check_predictor, keep_overrides
from lt_det.utils.seeding import own_draws, seeded

__all__ = [
    "LTCascadeROIHeads",
    "LTROIHeads",
    "LTRes5ROIHeads",
    "LTStandardROIHeads",
    "seeded_roi_sampling",
]


class LTROIHeads:
    """What our ROI heads share; goes before a class of Detectron2's (or of yours).

    The box predictors that ``from_config`` builds are replaced by :class:`LTFastRCNNOutputLayers`.
    In training, a mask head without trainable parameters is skipped: its loss would be a constant.
    Within :func:`seeded_roi_sampling` the RoIs of a picture do not depend on the others.
    """

    # A seed for each picture of the coming batch.
    _image_seeds: Sequence[tuple[int, ...]] = ()
    # Those of the pictures that are still to be sampled.
    _next_seeds: Iterator[tuple[int, ...]] = iter(())

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict:
        """The parts of the class behind, with the box predictors replaced."""
        # First, because the stock predictor, which super() builds too, has checks of its own.
        check_no_stock_loss(cfg)
        arguments = super().from_config(cfg, input_shape)
        with own_draws():
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

    def label_and_sample_proposals(self, proposals, targets):
        """See :class:`detectron2.modeling.roi_heads.ROIHeads`."""
        self._next_seeds = iter(self._image_seeds)
        return super().label_and_sample_proposals(proposals, targets)

    def _sample_proposals(self, *matches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Called by Detectron2 picture by picture, in order."""
        seed = next(self._next_seeds, None)
        if seed is None:
            return super()._sample_proposals(*matches)
        # On CPU, where the draw is the same for every device.
        with seeded(*seed):
            sampled, gt_classes = super()._sample_proposals(*(match.cpu() for match in matches))
        return sampled.to(matches[0].device), gt_classes.to(matches[0].device)

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


@contextlib.contextmanager
def seeded_roi_sampling(model: nn.Module, image_seeds: Sequence[tuple[int, ...]]) -> Iterator[None]:
    """Inside, every :class:`LTROIHeads` of ``model`` samples RoIs by a seed of each picture's own.

    So the RoIs of a picture are the same whichever process has it, and beside which others.

    Args:
        model: in training.
        image_seeds: non-negative integers for each picture of the batch, in its order.
    """
    heads = [module for module in model.modules() if isinstance(module, LTROIHeads)]
    for head in heads:
        head._image_seeds = image_seeds
    try:
        yield
    finally:
        for head in heads:
            head._image_seeds = ()


def _long_tailed(cfg: CfgNode, stock: FastRCNNOutputLayers) -> LTFastRCNNOutputLayers:
    """Build ours by ``cfg`` with the stock predictor's box regression and box encoding.

    Its classifier too, where it is as wide: a seed gives the model that stock ROI heads have. What
    the class of the stock predictor has of its own stays.
    """
    check_predictor(stock)
    shape = ShapeSpec(channels=stock.cls_score.in_features)
    ours = LTFastRCNNOutputLayers(cfg, shape, box2box_transform=stock.box2box_transform)
    ours.bbox_pred = stock.bbox_pred
    if type(ours.cls_score) is LinearClassifier:
        ours.cls_score = linear_classifier(stock.cls_score, ours.cls_loss)
    keep_overrides(ours, stock)
    return ours
