"""Post-hoc calibration by the training counts: logit adjustment and NorCal."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from lt_det.losses import BoxClsLoss
from lt_det.losses.prior import check_count_type, class_prior, counts_above_zero
from lt_det.modeling.calibrations.base import CALIBRATION_REGISTRY, BoxCalibration, link_of
from lt_det.registry import MethodCard

__all__ = ["LogitAdjustmentCalibration", "NorCalCalibration"]

METHODS = ("power", "effective_number")
TARGETS = ("probs", "logits")


@CALIBRATION_REGISTRY.register()
class LogitAdjustmentCalibration(BoxCalibration):
    """z_j - tau log(K q_j) on the foreground of a softmax.

    Menon et al., "Long-Tail Learning via Logit Adjustment", ICLR 2021, arXiv 2007.07314, its
    post-hoc form. The paper has no background and subtracts log q_j. Beside a background that stays
    as it is the constant log K matters; with it the shift of balanced classes is 0, as in
    :class:`lt_det.losses.BalancedSoftmaxLoss`, whose post-hoc counterpart this is.

    Args:
        tau: strength; 0 is none.
        count_type: "instance" or "image", what q is the share of.

    Raises:
        ValueError: if an option has no meaning.
    """

    CARD = MethodCard(
        paper="Menon et al., Logit Adjustment, ICLR 2021",
        arxiv="2007.07314",
        equation="z_j - tau log(K q_j)",
        released="No background, so no K: a constant there.",
        cost="no training",
        use_when="On a plain softmax that is trained already.",
    )

    links = ("softmax",)

    def __init__(self, *, tau: float = 1.0, count_type: str = "instance"):
        if not (math.isfinite(tau) and tau >= 0):
            raise ValueError(f"Expected `tau` to be finite and >= 0, but got {tau}")
        self.tau = tau
        self.count_type = check_count_type(count_type)

    def calibrated(self, logits, cls_loss, classifier):
        """See :meth:`BoxCalibration.calibrated`."""
        stats = cls_loss.require_class_stats(type(self).__name__)
        shift = self.tau * (cls_loss.num_classes * class_prior(stats, self.count_type)).log()
        return logits - F.pad(shift, (0, 1)).to(logits)


@CALIBRATION_REGISTRY.register()
class NorCalCalibration(BoxCalibration):
    """NorCal: p_j / n_j^gamma on the foreground, then normalised together with the background.

    Pan et al., "On Model Calibration for Long-Tailed Object Detection and Instance Segmentation",
    NeurIPS 2021, arXiv 2107.02170. For a softmax that is logit adjustment by gamma log n_j with raw
    counts, beside an unchanged background. It is computed from logarithms; the released code takes
    exp of raw logits, which overflows.

    Of a sigmoid, sigmoid(z_j) / n_j^gamma. There is no background to be normalised with, so
    ``renormalise`` keeps each RoI's sum over the classes; that is ours. Without it scores get
    small: lower ``MODEL.ROI_HEADS.SCORE_THRESH_TEST``.

    Args:
        gamma: strength, 0 is none. The released default is 0 and meant to be set, on held-out
            training images; 0.6 is ours, to start from.
        method: "power" for n_j^gamma, "effective_number" for (1 - gamma^n_j) / (1 - gamma), where
            gamma is below and close to 1.
        target: "probs" divides probabilities, "logits" divides logits (softmax only), an option
            of the released code too.
        renormalise: False leaves the divided probabilities, at most 1, as they are; no effect on
            "logits".
        count_type: "image" (as released) or "instance".

    Raises:
        ValueError: if an option has no meaning.
    """

    CARD = MethodCard(
        paper="Pan et al., NorCal, NeurIPS 2021",
        arxiv="2107.02170",
        equation="p_j / n_j^gamma, normalised with the background",
        released="Default gamma 0; takes exp of raw logits.",
        cost="no training",
        use_when="On a plain softmax or sigmoid; gamma is chosen on held-out pictures.",
    )

    def __init__(
        self,
        *,
        gamma: float = 0.6,
        method: str = "power",
        target: str = "probs",
        renormalise: bool = True,
        count_type: str = "image",
    ):
        if method not in METHODS:
            raise ValueError(f"Expected `method` to be one of {METHODS}, but got {method!r}")
        if target not in TARGETS:
            raise ValueError(f"Expected `target` to be one of {TARGETS}, but got {target!r}")
        upper = math.inf if method == "power" else 1
        if not 0 <= gamma < upper:
            raise ValueError(
                f"Expected `gamma` to be in [0, {upper}) with `method` {method!r}, but got {gamma}"
            )
        self.gamma = gamma
        self.method = method
        self.target = target
        self.renormalise = renormalise
        self.count_type = check_count_type(count_type)

    def check(self, cls_loss, classifier):
        """Besides the layout: raise ValueError for the logits of a sigmoid."""
        super().check(cls_loss, classifier)
        if self.target == "logits" and link_of(cls_loss) == "sigmoid":
            raise ValueError(
                "TEST.CALIBRATION.NOR_CAL.TARGET 'logits' is for a softmax, but the loss is "
                f"{type(cls_loss).__name__}: set it to 'probs'"
            )

    def predict_probs(self, logits, cls_loss, classifier):
        """See :meth:`BoxCalibration.predict_probs`."""
        if link_of(cls_loss) == "softmax" and (self.renormalise or self.target == "logits"):
            return super().predict_probs(logits, cls_loss, classifier)
        probs = cls_loss.predict_probs(logits)
        divided = probs * F.pad(self._log_factor(cls_loss), (0, 1)).exp().to(probs)
        if self.renormalise:
            tiny = torch.finfo(probs.dtype).tiny
            total, divided_total = (p.sum(dim=1, keepdim=True) for p in (probs, divided))
            divided = divided * (total / divided_total.clamp(min=tiny))
        return divided.clamp(max=1)

    def calibrated(self, logits, cls_loss, classifier):
        """See :meth:`BoxCalibration.calibrated`."""
        log_factor = F.pad(self._log_factor(cls_loss), (0, 1))
        if self.target == "logits":
            return logits * log_factor.exp().to(logits)
        return logits + log_factor.to(logits)

    def _log_factor(self, cls_loss: BoxClsLoss) -> torch.Tensor:
        """Logarithm of what foreground probabilities are multiplied by, (K,) float64."""
        stats = cls_loss.require_class_stats(type(self).__name__)
        count = counts_above_zero(stats, self.count_type)
        if self.method == "power":
            return -self.gamma * count.log()
        return math.log1p(-self.gamma) - (-(self.gamma**count)).log1p()
