"""The nodes below which the parameters of registered classes are keys."""

from __future__ import annotations

from typing import NamedTuple

from fvcore.common.registry import Registry

from lt_det.data.samplers import SAMPLER_SUFFIX, TRAIN_SAMPLER_REGISTRY
from lt_det.losses import BOX_CLS_LOSS_REGISTRY
from lt_det.losses.base import LOSS_SUFFIX
from lt_det.modeling.calibrations.base import CALIBRATION_REGISTRY, CALIBRATION_SUFFIX
from lt_det.modeling.classifiers.base import CLASSIFIER_REGISTRY, CLASSIFIER_SUFFIX
from lt_det.modeling.feature_augmentations.base import (
    FEATURE_AUGMENTATION_REGISTRY,
    FEATURE_AUGMENTATION_SUFFIX,
)

__all__ = ["METHOD_NODES", "MethodNode"]


class MethodNode(NamedTuple):
    """A node that has a node for each class of a registry, with the class's parameters.

    Attributes:
        parent: its full name.
        registry: of the classes.
        suffix: the end of a class name that is no part of its node's name.
        choice: the key that chooses a class.
    """

    parent: str
    registry: Registry
    suffix: str
    choice: str


METHOD_NODES = (
    MethodNode(
        "MODEL.ROI_BOX_HEAD.CLS_LOSS",
        BOX_CLS_LOSS_REGISTRY,
        LOSS_SUFFIX,
        "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME",
    ),
    MethodNode(
        "MODEL.ROI_BOX_HEAD.CLASSIFIER",
        CLASSIFIER_REGISTRY,
        CLASSIFIER_SUFFIX,
        "MODEL.ROI_BOX_HEAD.CLASSIFIER.NAME",
    ),
    MethodNode("DATALOADER", TRAIN_SAMPLER_REGISTRY, SAMPLER_SUFFIX, "DATALOADER.SAMPLER_TRAIN"),
    MethodNode(
        "MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION",
        FEATURE_AUGMENTATION_REGISTRY,
        FEATURE_AUGMENTATION_SUFFIX,
        "MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION.NAME",
    ),
    MethodNode(
        "TEST.CALIBRATION", CALIBRATION_REGISTRY, CALIBRATION_SUFFIX, "TEST.CALIBRATION.NAME"
    ),
)
