"""Small models as others build them: yacs and lazy configs, their own heads, PointRend, ViTDet.

Every builder takes the tiny config, which it changes, and the number of classes.
"""

import pytest
from detectron2 import model_zoo
from detectron2.config import instantiate
from detectron2.modeling import ROI_HEADS_REGISTRY, build_model
from detectron2.modeling.roi_heads import FastRCNNOutputLayers, StandardROIHeads
from detectron2.projects.point_rend import add_pointrend_config
from torch import nn


def choose_heads(cfg, name):
    """Give the tiny config the named ROI heads, Detectron2's or ours, and what they need."""
    model = cfg.MODEL
    model.ROI_HEADS.NAME = name
    if name.endswith("CascadeROIHeads"):
        model.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG = True
    if name.endswith("Res5ROIHeads"):
        model.BACKBONE.NAME = "build_resnet_backbone"
        model.RESNETS.DEPTH = 50
        model.RESNETS.RES2_OUT_CHANNELS, model.RESNETS.WIDTH_PER_GROUP = 16, 4
        model.RESNETS.OUT_FEATURES = ["res4"]
        model.RPN.IN_FEATURES = model.ROI_HEADS.IN_FEATURES = ["res4"]
        model.ANCHOR_GENERATOR.SIZES = [[8, 16, 32]]
    return cfg


def spread_classifier(model, std):
    """A fresh classifier is nearly constant; afterwards it prefers something."""
    for predictor in model.modules():
        if isinstance(predictor, FastRCNNOutputLayers):
            nn.init.normal_(predictor.cls_score.weight, std=std)
    return model


@ROI_HEADS_REGISTRY.register()
class HeadsOfAUser(StandardROIHeads):
    """Somebody's own heads: a loss of theirs beside Detectron2's."""

    def _forward_box(self, features, proposals):
        result = super()._forward_box(features, proposals)
        return {**result, "loss_of_theirs": result["loss_cls"] * 0.5} if self.training else result


def user_model(cfg, num_classes):
    cfg.MODEL.ROI_HEADS.NAME = "HeadsOfAUser"
    return build_model(cfg)


def cascade_model(cfg, num_classes):
    return build_model(choose_heads(cfg, "CascadeROIHeads"))


def c4_model(cfg, num_classes):
    return build_model(choose_heads(cfg, "Res5ROIHeads"))


def pointrend_model(cfg, num_classes):
    add_pointrend_config(cfg)
    cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    cfg.MODEL.ROI_MASK_HEAD.NAME = "PointRendMaskHead"
    cfg.MODEL.ROI_MASK_HEAD.FC_DIM = 16
    cfg.MODEL.ROI_MASK_HEAD.POOLER_TYPE = ""
    cfg.MODEL.ROI_MASK_HEAD.IN_FEATURES = ["p2"]
    cfg.MODEL.ROI_MASK_HEAD.OUTPUT_SIDE_RESOLUTION = 7
    cfg.INPUT.MASK_FORMAT = "bitmask"
    cfg.MODEL.ROI_MASK_HEAD.POINT_HEAD_ON = True
    cfg.MODEL.POINT_HEAD.IN_FEATURES = ["p2"]
    cfg.MODEL.POINT_HEAD.NUM_CLASSES = num_classes
    cfg.MODEL.POINT_HEAD.FC_DIM = 16
    return build_model(cfg)


def vitdet_model(cfg, num_classes, drop_path=0.1):
    """Built from constructor arguments; the config above is not used."""
    pytest.importorskip("timm", reason="Detectron2's ViT needs timm")
    model = model_zoo.get_config("common/models/mask_rcnn_vitdet.py").model
    vit = model.backbone.net
    vit.embed_dim, vit.depth, vit.num_heads, vit.img_size = 16, 2, 2, 64
    vit.window_size, vit.window_block_indexes = 2, [0]
    vit.drop_path_rate = drop_path
    model.backbone.out_channels = 16
    model.backbone.square_pad = 64
    model.proposal_generator.head.in_channels = 16
    model.proposal_generator.anchor_generator.sizes = [[8], [16], [32], [64], [128]]
    model.proposal_generator.post_nms_topk = (40, 40)
    heads = model.roi_heads
    heads.num_classes, heads.batch_size_per_image = num_classes, 16
    heads.box_head.conv_dims, heads.box_head.fc_dims = [16], [32]
    heads.box_head.input_shape.channels = heads.mask_head.input_shape.channels = 16
    heads.mask_head.conv_dims = [16, 16]
    heads.box_predictor.input_shape.channels = 32
    heads.box_predictor.test_score_thresh = 0.0
    return instantiate(model)
