"""Contradictions between config keys."""

from __future__ import annotations

import logging

from detectron2.config import CfgNode

from lt_det.class_stats import check_group_thresholds
from lt_det.data.repeat_factors import check_repeat_factors
from lt_det.data.samplers import TRAIN_SAMPLER_REGISTRY
from lt_det.evaluation.metric_options import MetricOptions
from lt_det.evaluation.official.backends import check_backend
from lt_det.losses import BOX_CLS_LOSS_REGISTRY
from lt_det.modeling.feature_augmentations.base import FEATURE_AUGMENTATION_REGISTRY

__all__ = ["check_config"]

logger = logging.getLogger(__name__)


def check_config(cfg: CfgNode) -> None:
    """Raise on contradictions between keys, warn of combinations that correct twice.

    Raises:
        ValueError: saying which key to change.
    """
    check_group_thresholds(cfg.DATASETS.GROUP_THRESHOLDS)
    check_backend(cfg.TEST.LVIS_BACKEND)
    MetricOptions.from_config(cfg)
    check_repeat_factors(cfg)
    if cfg.SOLVER.AMP.PRECISION not in ("float16", "bfloat16"):
        raise ValueError(
            "Expected SOLVER.AMP.PRECISION to be 'float16' or 'bfloat16', but got "
            f"{cfg.SOLVER.AMP.PRECISION!r}"
        )
    _check_augmentation(cfg)
    loss = cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS
    # An unknown name is told by whoever builds the loss.
    known = loss.NAME in BOX_CLS_LOSS_REGISTRY
    balanced = known and BOX_CLS_LOSS_REGISTRY.get(loss.NAME).corrects_imbalance
    if balanced and _sampler_corrects(cfg) and not cfg.DATALOADER.REPEAT_CORRECTED:
        logger.warning(
            "%s with %s corrects the imbalance twice: set "
            "DATALOADER.REPEAT_CORRECTED True to count classes as the sampler shows them",
            loss.NAME,
            cfg.DATALOADER.SAMPLER_TRAIN,
        )
    if balanced and cfg.TEST.CALIBRATION.NAME:
        logger.warning(
            "%s on a model trained with %s corrects the imbalance twice: set "
            "TEST.CALIBRATION.NAME '', or calibrate a model of the plain loss",
            cfg.TEST.CALIBRATION.NAME,
            loss.NAME,
        )


def _sampler_corrects(cfg: CfgNode) -> bool:
    name = cfg.DATALOADER.SAMPLER_TRAIN
    known = name in TRAIN_SAMPLER_REGISTRY
    return known and getattr(TRAIN_SAMPLER_REGISTRY.get(name), "corrects_imbalance", False)


def _check_augmentation(cfg: CfgNode) -> None:
    node = cfg.MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION
    key = "MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION"
    if node.PERIOD < 0:
        raise ValueError(f"Expected {key}.PERIOD to be at least 0, but got {node.PERIOD}")
    if not node.NAME:
        return
    if cfg.SOLVER.META.NAME:
        raise ValueError(
            f"{key}.NAME {node.NAME!r} has no part in the bilevel step of SOLVER.META.NAME "
            f"{cfg.SOLVER.META.NAME!r}: set one of them to ''"
        )
    known = node.NAME in FEATURE_AUGMENTATION_REGISTRY
    if known and FEATURE_AUGMENTATION_REGISTRY.get(node.NAME).adapts and not cfg.DATASETS.HOLDOUT:
        raise ValueError(
            f"{key}.NAME {node.NAME!r} adapts to the loss on training pictures that are set aside: "
            "set DATASETS.HOLDOUT to their share, for example 0.05"
        )
