"""What can be known to fail, or to mislead, before a model is built."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from urllib.parse import urlparse

import torch
from detectron2.config import CfgNode
from torch import nn

from lt_det.modeling.find_predictors import box_predictors

__all__ = [
    "check_box_predictors",
    "check_device",
    "check_weights",
    "has_last_checkpoint",
    "require_weights",
    "warn_of_other_weights",
]

logger = logging.getLogger(__name__)


def check_device(cfg: CfgNode) -> None:
    """Raise ValueError if ``MODEL.DEVICE`` is a GPU and there is none."""
    if cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(
            f"MODEL.DEVICE is {cfg.MODEL.DEVICE!r}, but there is no GPU that torch can use: set "
            "MODEL.DEVICE cpu"
        )


def has_last_checkpoint(cfg: CfgNode) -> bool:
    """Whether there is something in ``OUTPUT_DIR`` to resume."""
    return os.path.isfile(os.path.join(cfg.OUTPUT_DIR, "last_checkpoint"))


def check_weights(cfg: CfgNode) -> None:
    """Raise FileNotFoundError if ``MODEL.WEIGHTS`` is a local file that is not there.

    Nothing at all (a start from random weights) passes, and so do URLs and Detectron2's catalogues.
    """
    weights = cfg.MODEL.WEIGHTS
    # Detectron2 takes "?matching_heuristics=True" off the name.
    path = urlparse(weights)._replace(query="").geturl()
    if not path or "://" in path or os.path.isfile(path):
        return
    message = f"MODEL.WEIGHTS {weights} does not exist (looked for from {os.getcwd()})"
    if re.fullmatch(r"model_(final|\d+)\.pth", Path(path).name):
        message += (
            f". Trainings leave files of that name in their OUTPUT_DIR, here {Path(path).parent}: "
            "train that one first (stage 1 before stage 2), or name another model"
        )
    raise FileNotFoundError(message)


def require_weights(cfg: CfgNode) -> None:
    """As :func:`check_weights`, for what begins with a trained model.

    Raises:
        ValueError: if ``MODEL.WEIGHTS`` is empty.
        FileNotFoundError: if it is not there.
    """
    if not cfg.MODEL.WEIGHTS:
        raise ValueError(
            "MODEL.WEIGHTS is empty: name a trained model's checkpoint, for example MODEL.WEIGHTS "
            f"{cfg.OUTPUT_DIR}/model_final.pth"
        )
    check_weights(cfg)


def warn_of_other_weights(cfg: CfgNode) -> None:
    """Log a warning if ``OUTPUT_DIR`` holds a training and ``MODEL.WEIGHTS`` lies elsewhere."""
    folder = Path(cfg.MODEL.WEIGHTS).parent
    if has_last_checkpoint(cfg) and folder.resolve() != Path(cfg.OUTPUT_DIR).resolve():
        logger.warning(
            "Evaluating MODEL.WEIGHTS %s, not the model that was trained in OUTPUT_DIR: for that "
            "one give --resume or MODEL.WEIGHTS %s/model_final.pth",
            cfg.MODEL.WEIGHTS,
            cfg.OUTPUT_DIR,
        )


def check_box_predictors(cfg: CfgNode, model: nn.Module) -> None:
    """Raise ValueError if the config asks for a part that ``model`` has no place for.

    The model is asked, not the name of its ROI heads, which may be a user's own subclass.
    """
    box_head = cfg.MODEL.ROI_BOX_HEAD
    asked = {
        "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME": box_head.CLS_LOSS.NAME != "SoftmaxLoss",
        "MODEL.ROI_BOX_HEAD.CLASSIFIER.NAME": box_head.CLASSIFIER.NAME != "LinearClassifier",
        "MODEL.ROI_BOX_HEAD.CLASSIFIER.REINIT": box_head.CLASSIFIER.REINIT,
        "MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION.NAME": bool(box_head.FEATURE_AUGMENTATION.NAME),
        "TEST.CALIBRATION.NAME": bool(cfg.TEST.CALIBRATION.NAME),
    }
    without_effect = [key for key, is_asked in asked.items() if is_asked]
    if without_effect and not any(box_predictors(model)):
        raise ValueError(
            f"{without_effect[0]} has no effect under MODEL.ROI_HEADS.NAME "
            f"{cfg.MODEL.ROI_HEADS.NAME!r}: use 'LTStandardROIHeads', 'LTCascadeROIHeads' or "
            "'LTRes5ROIHeads', or call install_box_predictor"
        )
