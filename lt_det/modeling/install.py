"""Put lt_det's box predictor into a model that is built already."""

from __future__ import annotations

import copy
from collections.abc import Callable

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import FastRCNNOutputLayers
from torch import nn

from lt_det.losses import BoxClsLoss
from lt_det.modeling.box_predictor import NO_LIMIT, LTFastRCNNOutputLayers
from lt_det.modeling.build import (
    available_class_stats,
    build_box_cls_loss,
    build_classifier,
    build_feature_augmentation,
)
from lt_det.modeling.calibrations.base import BoxCalibration, build_calibration
from lt_det.modeling.feature_augmentations.base import FeatureAugmentation
from lt_det.modeling.find_predictors import read_known_negatives
from lt_det.modeling.stock_overrides import check_predictor, keep_overrides
from lt_det.utils.seeding import own_draws

__all__ = ["install_box_predictor", "predictor_from_stock"]


def install_box_predictor(
    model: nn.Module,
    cfg: CfgNode | None = None,
    *,
    cls_loss: BoxClsLoss | None = None,
    classifier: nn.Module | None = None,
    calibration: BoxCalibration | None = None,
    feature_augmentation: FeatureAugmentation | None = None,
) -> nn.Module:
    """Replace every Fast R-CNN box predictor of ``model``, whatever its ROI heads are.

    Works on any model whose heads hold a :class:`FastRCNNOutputLayers`: a user's own ROI heads,
    PointRend, Cascade R-CNN, models made from a LazyConfig. Call it before the optimiser is built
    and before the checkpoint is loaded. Parameters keep their names, so stock checkpoints fit. What
    the class of a predictor has of its own stays (``inference``, ``forward``, ``predict_boxes``,
    ``box_reg_loss``); ``losses`` and ``predict_probs`` give way to the loss.

    Args:
        model: changed in place.
        cfg: a yacs config after ``add_lt_det_config``; ``MODEL.ROI_BOX_HEAD.CLS_LOSS`` and
            ``CLASSIFIER``, ``FEATURE_AUGMENTATION``, ``TEST.CALIBRATION`` and
            ``TEST.DETECTIONS_PER_CLASS`` decide.
        cls_loss: or, without yacs, the loss. Several predictors (cascade) get a copy each.
        classifier: with ``cls_loss``, the layer from features to logits; None is a linear one.
        calibration: with ``cls_loss``, what changes probabilities at test time; None is none.
        feature_augmentation: with ``cls_loss``, what adds features in training; None is none.
            Several predictors get a copy each.

    Returns:
        ``model``.

    Raises:
        ValueError: if the model has no such predictor, one of another protocol (Detic's) or
            another number of classes, or if not exactly one of ``cfg`` and ``cls_loss`` is given,
            or other parts beside ``cfg``.
        TypeError: if ``cls_loss``, ``classifier``, ``calibration`` or ``feature_augmentation`` is
            not one that is built.
    """
    if (cfg is None) == (cls_loss is None):
        raise ValueError("install_box_predictor needs either `cfg` or `cls_loss`, and not both")
    if cfg is not None and (classifier, calibration, feature_augmentation) != (None, None, None):
        raise ValueError(
            "`classifier`, `calibration` and `feature_augmentation` go with `cls_loss`; with `cfg` "
            "set MODEL.ROI_BOX_HEAD.CLASSIFIER, TEST.CALIBRATION and "
            "MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION"
        )
    _check_parts(cls_loss, classifier, calibration, feature_augmentation)
    places = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, FastRCNNOutputLayers)
    ]
    if not places:
        raise ValueError(
            f"{type(model).__name__} has no FastRCNNOutputLayers to replace: lt_det's losses are "
            "for two-stage detectors with a Fast R-CNN box predictor"
        )
    if cfg is not None:
        build = _from_config(cfg)
    else:
        build = _from_parts(cls_loss, classifier, calibration, feature_augmentation)
    for _, _, stock in places:
        check_predictor(stock)
    with own_draws():
        for parent, name, stock in places:
            setattr(parent, name, build(stock))
    read_known_negatives(model)
    return model


def predictor_from_stock(
    stock: FastRCNNOutputLayers,
    cls_loss: BoxClsLoss,
    classifier: nn.Module | None = None,
    calibration: BoxCalibration | None = None,
    feature_augmentation: FeatureAugmentation | None = None,
) -> LTFastRCNNOutputLayers:
    """Build the predictor that takes the place of ``stock`` in a model that is built.

    It keeps the box regression (the layer itself, its loss and its weight) and the thresholds
    of ``stock``, and a linear classifier of the same width keeps its weights too. A stock
    sigmoid or federated loss is replaced: ``cls_loss`` decides. What the class of ``stock`` has
    of its own stays, see :mod:`lt_det.modeling.stock_overrides`.

    Args:
        stock: what to replace; it shares its box regression with the result.
        cls_loss: see :class:`LTFastRCNNOutputLayers`.
        classifier: see :class:`LTFastRCNNOutputLayers`.
        calibration: see :class:`LTFastRCNNOutputLayers`.
        feature_augmentation: see :class:`LTFastRCNNOutputLayers`.

    Raises:
        ValueError: if loss, classifier and ``stock`` are not of the same number of classes,
            the calibration does not fit them, or ``stock`` has another protocol.
    """
    check_predictor(stock)
    weight = stock.cls_score.weight
    num_deltas = len(stock.box2box_transform.weights)
    predictor = LTFastRCNNOutputLayers(
        ShapeSpec(channels=weight.shape[1]),
        num_classes=stock.num_classes,
        cls_loss=cls_loss,
        classifier=classifier,
        calibration=calibration,
        feature_augmentation=feature_augmentation,
        box2box_transform=stock.box2box_transform,
        test_score_thresh=stock.test_score_thresh,
        test_nms_thresh=stock.test_nms_thresh,
        test_topk_per_image=stock.test_topk_per_image,
        cls_agnostic_bbox_reg=len(stock.bbox_pred.weight) == num_deltas,
        smooth_l1_beta=stock.smooth_l1_beta,
        box_reg_loss_type=stock.box_reg_loss_type,
        loss_weight=stock.loss_weight,
    )
    predictor.bbox_pred = stock.bbox_pred
    if isinstance(predictor.cls_score, nn.Linear) and isinstance(stock.cls_score, nn.Linear):
        if predictor.cls_score.weight.shape == weight.shape:
            # What a layer has beside them, a map on its logits, stays as it is.
            predictor.cls_score.load_state_dict(stock.cls_score.state_dict(), strict=False)
    keep_overrides(predictor, stock)
    return predictor.to(weight.device).train(stock.training)


Builder = Callable[[FastRCNNOutputLayers], LTFastRCNNOutputLayers]


def _from_config(cfg: CfgNode) -> Builder:
    class_stats = available_class_stats(cfg)
    weight = cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.WEIGHT

    def build(stock: FastRCNNOutputLayers) -> LTFastRCNNOutputLayers:
        cls_loss = build_box_cls_loss(cfg, class_stats)
        feature_size = stock.cls_score.weight.shape[1]
        predictor = predictor_from_stock(
            stock,
            cls_loss,
            build_classifier(cfg, feature_size, cls_loss),
            build_calibration(cfg),
            build_feature_augmentation(cfg, feature_size),
        )
        if cfg.TEST.DETECTIONS_PER_CLASS:
            predictor.test_topk_per_image = NO_LIMIT
        predictor.loss_weight = {**predictor.loss_weight, "loss_cls": weight}
        return predictor

    return build


def _check_parts(
    cls_loss: object, classifier: object, calibration: object, feature_augmentation: object
) -> None:
    if cls_loss is not None and not isinstance(cls_loss, BoxClsLoss):
        raise TypeError(
            "Expected `cls_loss` to be a loss of lt_det.losses, for example "
            f"BalancedSoftmaxLoss(num_classes, class_stats), but got {cls_loss!r}; names are for "
            "configs: MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME"
        )
    if classifier is not None and not isinstance(classifier, nn.Module):
        raise TypeError(
            "Expected `classifier` to be a module, for example "
            f"CosineClassifier(input_size, num_logits), but got {classifier!r}"
        )
    if calibration is not None and not isinstance(calibration, BoxCalibration):
        raise TypeError(
            "Expected `calibration` to be one of lt_det.modeling, for example "
            f"TauNormCalibration(tau=0.5), but got {calibration!r}"
        )
    if feature_augmentation is not None and not isinstance(
        feature_augmentation, FeatureAugmentation
    ):
        raise TypeError(
            "Expected `feature_augmentation` to be one of lt_det.modeling, for example "
            f"FASAAugmentation(num_classes, feature_size), but got {feature_augmentation!r}"
        )


def _from_parts(
    cls_loss: BoxClsLoss,
    classifier: nn.Module | None,
    calibration: BoxCalibration | None,
    feature_augmentation: FeatureAugmentation | None,
) -> Builder:
    return lambda stock: predictor_from_stock(
        stock,
        copy.deepcopy(cls_loss),
        copy.deepcopy(classifier),
        calibration,
        copy.deepcopy(feature_augmentation),
    )
