"""Post-hoc calibration: other probabilities from the logits of a trained classifier.

A calibration is registered in :data:`CALIBRATION_REGISTRY` and built as
``cls(**hyper_parameters)``; its keyword-only parameters are the config keys
``TEST.CALIBRATION.<NODE>.<PARAM>``. It holds no state: class statistics are those of the loss it is
called with, which come from the checkpoint, so one object serves all stages of a cascade.
"""

from __future__ import annotations

import torch
from detectron2.config import CfgNode
from fvcore.common.registry import Registry
from torch import nn

from lt_det.losses import BoxClsLoss, SigmoidLoss
from lt_det.registry import kwargs_from_node, lookup

__all__ = ["CALIBRATION_REGISTRY", "CALIBRATION_SUFFIX", "BoxCalibration", "build_calibration"]

CALIBRATION_REGISTRY = Registry("CALIBRATION")
CALIBRATION_REGISTRY.__doc__ = "Post-hoc calibration of :class:`LTFastRCNNOutputLayers`."
CALIBRATION_SUFFIX = "Calibration"


class BoxCalibration:
    """Base of all calibrations: a change of the logits, then the loss's own probabilities.

    It acts at test time alone, in a cascade on each stage's probabilities before they are averaged.
    The background is left as it is unless an option says otherwise. Shape shorthand: see
    :mod:`lt_det.losses.base`.
    """

    #: Of which links it can calibrate the probabilities.
    links: tuple[str, ...] = ("softmax", "sigmoid")

    def check(self, cls_loss: BoxClsLoss, classifier: nn.Module) -> None:
        """Raise ValueError unless the calibration has a meaning for this loss and classifier."""
        if link_of(cls_loss) not in self.links:
            raise ValueError(
                f"TEST.CALIBRATION.NAME {type(self).__name__!r} calibrates plain "
                f"{' or '.join(self.links)} probabilities, not those of the {cls_loss.num_logits} "
                f"logits of {type(cls_loss).__name__}: set it to ''"
            )

    def predict_probs(
        self, logits: torch.Tensor, cls_loss: BoxClsLoss, classifier: nn.Module
    ) -> torch.Tensor:
        """Probabilities (R, K + 1), background last, from the classifier's logits (R, C)."""
        return cls_loss.predict_probs(self.calibrated(logits, cls_loss, classifier))

    def calibrated(
        self, logits: torch.Tensor, cls_loss: BoxClsLoss, classifier: nn.Module
    ) -> torch.Tensor:
        """Other logits (R, C); the input is untouched."""
        raise NotImplementedError


def link_of(cls_loss: BoxClsLoss) -> str | None:
    """What gives the probabilities at test: "softmax", "sigmoid", or None for other layouts."""
    predict_probs = type(cls_loss).predict_probs
    if predict_probs is SigmoidLoss.predict_probs:
        is_plain = cls_loss.link == "sigmoid" and cls_loss.objectness != "product"
        return "sigmoid" if is_plain else None
    if (
        predict_probs is BoxClsLoss.predict_probs
        and cls_loss.num_logits == cls_loss.num_classes + 1
    ):
        return "softmax"
    return None


def build_calibration(cfg: CfgNode) -> BoxCalibration | None:
    """Build the calibration ``TEST.CALIBRATION.NAME``, None for ``""``."""
    node = cfg.TEST.CALIBRATION
    if not node.NAME:
        return None
    cls = lookup(CALIBRATION_REGISTRY, node.NAME, "TEST.CALIBRATION.NAME")
    return cls(**kwargs_from_node(node, cls, CALIBRATION_SUFFIX))
