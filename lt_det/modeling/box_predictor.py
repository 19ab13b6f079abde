"""The box predictor: a classifier, a loss that owns its logit layout, and box regression.

Shape shorthand: see :mod:`lt_det.losses.base`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec, cat
from detectron2.modeling.roi_heads import FastRCNNOutputLayers
from detectron2.structures import Instances
from torch import nn

from lt_det.losses import BoxClsLoss
from lt_det.losses.weighted_rows import mean_over_rows
from lt_det.modeling.accuracy import log_accuracy
from lt_det.modeling.build import (
    available_class_stats,
    build_box_cls_loss,
    build_classifier,
    build_feature_augmentation,
    check_no_stock_loss,
    linear_classifier,
)
from lt_det.modeling.calibrations.base import BoxCalibration, build_calibration
from lt_det.modeling.classifiers.base import LinearClassifier
from lt_det.modeling.feature_augmentations.base import FeatureAugmentation
from lt_det.modeling.known_negatives import per_roi
from lt_det.utils.distributed import sum_over_ranks, world_size

__all__ = ["NO_LIMIT", "LTFastRCNNOutputLayers"]


NO_LIMIT = -1
"""Of detections per image."""


class LTFastRCNNOutputLayers(FastRCNNOutputLayers):
    """Detectron2's box predictor with an exchangeable classifier and classification loss.

    With the plain losses and the same weights it is Detectron2's: gradients and detections are
    bit-identical, loss values differ by rounding (a mean of R values against a fused mean).
    """

    # Takes the proposals in place of the losses, see lt_det.modeling.roi_recorder.
    recorder: Callable[[LTFastRCNNOutputLayers, list[Instances]], None] | None = None
    # The classifier's input, kept by _keep_features until the losses.
    features: torch.Tensor | None = None
    # Of each image of the batch, (N, K), see lt_det.modeling.known_negatives.
    known_negatives: torch.Tensor | None = None

    @configurable
    def __init__(
        self,
        input_shape: ShapeSpec,
        *,
        num_classes: int,
        cls_loss: BoxClsLoss,
        classifier: nn.Module | None = None,
        calibration: BoxCalibration | None = None,
        feature_augmentation: FeatureAugmentation | None = None,
        **kwargs,
    ):
        """
        Args:
            input_shape: shape of the features that reach this module.
            num_classes: K.
            cls_loss: the classification loss; decides the number of logits and their activation.
            classifier: a layer of :data:`CLASSIFIER_REGISTRY` from D features to
                ``cls_loss.num_logits`` logits, taken as it is; None is a fresh
                :class:`LinearClassifier` with the loss's initial bias, and with Detectron2's
                initial weights where it is as wide as Detectron2's.
            calibration: of :data:`CALIBRATION_REGISTRY`, applied at test time; None is none.
            feature_augmentation: of :data:`FEATURE_AUGMENTATION_REGISTRY`; None is none.
            kwargs: see :class:`FastRCNNOutputLayers`.

        Raises:
            ValueError: if loss, classifier, calibration and augmentation do not fit.
        """
        if kwargs.get("use_sigmoid_ce") or kwargs.get("use_fed_loss"):
            raise ValueError("`cls_loss` decides the loss: use_sigmoid_ce and use_fed_loss do not")
        super().__init__(input_shape, num_classes=num_classes, **kwargs)
        if cls_loss.num_classes != num_classes:
            raise ValueError(
                f"Expected a loss of {num_classes} classes, but `cls_loss` "
                f"{type(cls_loss).__name__} has {cls_loss.num_classes}"
            )
        if classifier is None:
            classifier = linear_classifier(self.cls_score, cls_loss)
        else:
            _check_classifier(classifier, cls_loss, self.cls_score.in_features)
        if getattr(classifier, "num_classes", num_classes) != num_classes:
            raise ValueError(
                f"Expected a `classifier` of {num_classes} classes, but "
                f"{type(classifier).__name__} has {classifier.num_classes}"
            )
        if calibration is not None:
            calibration.check(cls_loss, classifier)
        if feature_augmentation is not None:
            feature_augmentation.check(num_classes, classifier.weight.shape[1])
        self.cls_loss = cls_loss
        self.cls_score = classifier
        self.calibration = calibration
        self.feature_augmentation = feature_augmentation
        if feature_augmentation is not None:
            self.register_forward_pre_hook(_keep_features)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict:
        """Loss and classifier from ``MODEL.ROI_BOX_HEAD``, calibration from ``TEST``.

        With ``TEST.DETECTIONS_PER_CLASS`` there is no limit per image: the evaluator has one.
        """
        check_no_stock_loss(cfg)
        box_head = cfg.MODEL.ROI_BOX_HEAD
        arguments = super().from_config(cfg, input_shape)
        cls_loss = build_box_cls_loss(cfg, available_class_stats(cfg))
        input_size = input_shape.channels * (input_shape.width or 1) * (input_shape.height or 1)
        arguments["cls_loss"] = cls_loss
        # None is this one, with the weights of Detectron2's layer, which __init__ makes.
        if box_head.CLASSIFIER.NAME != LinearClassifier.__name__:
            arguments["classifier"] = build_classifier(cfg, input_size, cls_loss)
        arguments["calibration"] = build_calibration(cfg)
        if cfg.TEST.DETECTIONS_PER_CLASS:
            arguments["test_topk_per_image"] = NO_LIMIT
        arguments["feature_augmentation"] = build_feature_augmentation(cfg, input_size)
        arguments["loss_weight"] = {
            **arguments["loss_weight"],
            "loss_cls": box_head.CLS_LOSS.WEIGHT,
        }
        return arguments

    def reset_classifier(self) -> None:
        """Initialise the classifier anew, with the loss's initial bias."""
        self.cls_score.reset(self.cls_loss.init_bias())

    def losses(
        self, predictions: tuple[torch.Tensor, torch.Tensor], proposals: list[Instances]
    ) -> dict[str, torch.Tensor]:
        """``loss_cls`` and ``loss_box_reg``, both normalised by R as in Detectron2.

        R is the mean over the ranks of a training, so that DDP's mean of their gradients is the
        gradient of one process with all RoIs. (Detectron2 divides by each rank's own R.) A frozen
        box regression has no ``loss_box_reg``: it would be a constant.

        Args:
            predictions: logits (R, C) and deltas.
            proposals: with ``gt_classes``, ``proposal_boxes`` and, if any is foreground,
                ``gt_boxes``.
        """
        features, self.features = self.features, None
        if self.recorder is not None:
            self.recorder(self, proposals)
            return {}
        logits, deltas = predictions
        gt_classes = _concatenate([p.gt_classes for p in proposals], logits.new_empty(0).long())
        known_negatives = per_roi(self.known_negatives, [len(p) for p in proposals])
        loss_cls = self.classification_loss(logits, gt_classes, known_negatives=known_negatives)
        losses = {"loss_cls": loss_cls}
        if deltas.requires_grad or not torch.is_grad_enabled():
            boxes = [p.proposal_boxes.tensor for p in proposals]
            # Without gt_boxes all RoIs of the image are background, and their boxes are not read.
            targets = [
                (p.gt_boxes if p.has("gt_boxes") else p.proposal_boxes).tensor for p in proposals
            ]
            no_box = deltas.new_empty(0, 4)
            losses["loss_box_reg"] = self.box_reg_loss(
                _concatenate(boxes, no_box), _concatenate(targets, no_box), deltas, gt_classes
            )
        if self.training and world_size() > 1:
            share = _share_of_rois(gt_classes)
            losses = {name: loss * share for name, loss in losses.items()}
        losses["loss_cls"] = self.augmented_loss(losses["loss_cls"], features, logits, gt_classes)
        return {name: loss * self.loss_weight.get(name, 1.0) for name, loss in losses.items()}

    def classification_loss(
        self,
        logits: torch.Tensor,
        gt_classes: torch.Tensor,
        weights: torch.Tensor | None = None,
        known_negatives: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mean over RoIs of the classification loss; zero, with a gradient, without RoIs.

        Args:
            logits: (R, C).
            gt_classes: (R,).
            weights: (R,), how many RoIs each stands for, see :class:`RoIs`; None is one each.
            known_negatives: see :meth:`BoxClsLoss.draw_mask`.
        """
        logits = _at_least_float32(logits)
        log_accuracy(self.cls_loss, logits.detach(), gt_classes, weights)
        mask = self.cls_loss.draw_mask(gt_classes, known_negatives, weights)
        loss = mean_over_rows(self.cls_loss(logits, gt_classes, mask), weights)
        if self.training:
            self.cls_loss.update_state(logits.detach(), gt_classes, weights)
        return loss

    def augmented_loss(
        self,
        loss: torch.Tensor,
        features: torch.Tensor | None,
        logits: torch.Tensor,
        gt_classes: torch.Tensor,
        weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The classification loss with the rows of the feature augmentation.

        Without one, and outside of training, it is ``loss`` itself.

        Args:
            loss: see :meth:`FeatureAugmentation.add_to`, as the others.
            features: (R, D).
            logits: (R, C).
            gt_classes: (R,).
            weights: (R,).
        """
        if self.feature_augmentation is None or not self.training:
            return loss
        return self.feature_augmentation.add_to(
            loss, features, logits, gt_classes, weights, self.cls_score, self.cls_loss
        )

    def predict_probs(
        self, predictions: tuple[torch.Tensor, torch.Tensor], proposals: list[Instances]
    ) -> tuple[torch.Tensor, ...]:
        """Probabilities (R_i, K + 1) of each image's RoIs, calibrated, background last."""
        logits = _at_least_float32(predictions[0])
        if self.calibration is None:
            probs = self.cls_loss.predict_probs(logits)
        else:
            probs = self.calibration.predict_probs(logits, self.cls_loss, self.cls_score)
        return probs.split([len(p) for p in proposals])


def _check_classifier(classifier: nn.Module, cls_loss: BoxClsLoss, input_size: int) -> None:
    """Raise ValueError unless ``classifier`` is a layer from features (R, D) to the logits."""
    weight = getattr(classifier, "weight", None)
    if not isinstance(weight, torch.Tensor) or weight.ndim != 2:
        raise ValueError(
            "Expected a `classifier` with a `weight` of (logits, features), as those of "
            f"CLASSIFIER_REGISTRY and nn.Linear have, but got {type(classifier).__name__}: make it "
            "a module with such a `weight` whose forward maps (R, D) features to (R, C) logits, "
            "and, for MODEL.ROI_BOX_HEAD.CLASSIFIER.REINIT, with a method reset(bias)"
        )
    if len(weight) != cls_loss.num_logits:
        raise ValueError(
            f"Expected a `classifier` of the {cls_loss.num_logits} logits of "
            f"{type(cls_loss).__name__}, but it has {len(weight)}"
        )
    if weight.shape[1] != input_size:
        raise ValueError(
            f"Expected a `classifier` of the {input_size} features that the box head makes, but "
            f"{type(classifier).__name__} has {weight.shape[1]}"
        )


def _keep_features(predictor: LTFastRCNNOutputLayers, args: tuple[torch.Tensor]) -> None:
    """A forward pre-hook: the predictor keeps its input for its augmentation."""
    if predictor.training:
        predictor.features = args[0].detach().flatten(1)


def _concatenate(tensors: list[torch.Tensor], empty: torch.Tensor) -> torch.Tensor:
    return cat(tensors, dim=0) if tensors else empty


def _share_of_rois(gt_classes: torch.Tensor) -> torch.Tensor:
    """This rank's number of RoIs over the mean of all ranks; 0 without any."""
    number = gt_classes.new_tensor(len(gt_classes), dtype=torch.float32)
    return number * world_size() / sum_over_ranks(number).clamp(min=1)


def _at_least_float32(logits: torch.Tensor) -> torch.Tensor:
    """Losses and probabilities of half-precision logits are computed in float32."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
