"""The parts of a box predictor that ``MODEL.ROI_BOX_HEAD`` asks for."""

from __future__ import annotations

import logging

from detectron2.config import CfgNode
from torch import nn

from lt_det.class_stats import ClassStats
from lt_det.data.statistics import class_stats_from_config
from lt_det.losses import BOX_CLS_LOSS_REGISTRY, BoxClsLoss
from lt_det.losses.base import LOSS_SUFFIX
from lt_det.modeling.classifiers.base import (
    CLASSIFIER_REGISTRY,
    CLASSIFIER_SUFFIX,
    LinearClassifier,
)
from lt_det.modeling.feature_augmentations.base import (
    FEATURE_AUGMENTATION_REGISTRY,
    FEATURE_AUGMENTATION_SUFFIX,
    FeatureAugmentation,
)
from lt_det.registry import kwargs_from_node, lookup
from lt_det.utils.seeding import own_draws

__all__ = [
    "available_class_stats",
    "build_box_cls_loss",
    "build_classifier",
    "build_feature_augmentation",
    "check_no_stock_loss",
    "linear_classifier",
]

logger = logging.getLogger(__name__)


def check_no_stock_loss(cfg: CfgNode) -> None:
    """Raise ValueError if one of Detectron2's own losses is switched on beside ours."""
    box_head = cfg.MODEL.ROI_BOX_HEAD
    for key in ("USE_SIGMOID_CE", "USE_FED_LOSS"):
        if box_head[key]:
            raise ValueError(
                f"MODEL.ROI_BOX_HEAD.{key} is Detectron2's own loss and cannot be combined "
                f"with MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME {box_head.CLS_LOSS.NAME!r}: set it "
                "to False and choose the loss by CLS_LOSS.NAME"
            )


def build_box_cls_loss(cfg: CfgNode, class_stats: ClassStats | None) -> BoxClsLoss:
    """Build the loss ``MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME``."""
    node = cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS
    cls = lookup(BOX_CLS_LOSS_REGISTRY, node.NAME, "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME")
    hyper = kwargs_from_node(node, cls, LOSS_SUFFIX)
    return cls(cfg.MODEL.ROI_HEADS.NUM_CLASSES, class_stats, **hyper)


def build_classifier(cfg: CfgNode, input_size: int, cls_loss: BoxClsLoss) -> nn.Module:
    """Build the classifier ``MODEL.ROI_BOX_HEAD.CLASSIFIER.NAME`` for a loss.

    Its weights are drawn by themselves, see :func:`lt_det.utils.seeding.own_draws`.
    """
    node = cfg.MODEL.ROI_BOX_HEAD.CLASSIFIER
    cls = lookup(CLASSIFIER_REGISTRY, node.NAME, "MODEL.ROI_BOX_HEAD.CLASSIFIER.NAME")
    hyper = kwargs_from_node(node, cls, CLASSIFIER_SUFFIX)
    with own_draws():
        classifier = cls(input_size, cls_loss.num_logits, cls_loss.num_classes, **hyper)
        classifier.reset(cls_loss.init_bias())
    return classifier


def linear_classifier(stock: nn.Linear, cls_loss: BoxClsLoss) -> LinearClassifier:
    """Build the linear classifier of a loss in place of Detectron2's layer, which is fresh.

    Where it is as wide it has the weights of ``stock``, so that a seed gives the model that it
    gives without lt_det.
    """
    with own_draws():
        classifier = LinearClassifier(stock.in_features, cls_loss.num_logits)
        classifier.reset(cls_loss.init_bias())
    if classifier.weight.shape == stock.weight.shape:
        classifier.weight = stock.weight
    return classifier


def build_feature_augmentation(cfg: CfgNode, feature_size: int) -> FeatureAugmentation | None:
    """Build ``MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION.NAME``, None for ``""``."""
    node = cfg.MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION
    if not node.NAME:
        return None
    key = "MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION.NAME"
    cls = lookup(FEATURE_AUGMENTATION_REGISTRY, node.NAME, key)
    hyper = kwargs_from_node(node, cls, FEATURE_AUGMENTATION_SUFFIX)
    return cls(cfg.MODEL.ROI_HEADS.NUM_CLASSES, feature_size, **hyper)


def available_class_stats(cfg: CfgNode) -> ClassStats | None:
    """Statistics by the config, or None where the training set is not on this machine.

    A model is also built to be evaluated or to predict, which needs no training set: its
    checkpoint holds the statistics. Training without any raises in the loss that needs them.
    """
    try:
        return class_stats_from_config(cfg)
    except FileNotFoundError as error:
        if cfg.DATASETS.CLASS_STATS_FILE:
            raise
        logger.warning("No class statistics, a checkpoint has to provide them: %s", error)
        return None
