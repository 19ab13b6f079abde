"""What the contract tests share: the losses, their options, and small helpers.

A new loss is tested by being registered; it adds its parameters to ALTERNATIVES and INVALID.
"""

import math

import pytest
import torch

from lt_det.losses import BOX_CLS_LOSS_REGISTRY, BoxClsLoss

# Losses of lt_det itself: other tests may have registered theirs.
LOSSES = sorted(
    (cls for _, cls in BOX_CLS_LOSS_REGISTRY if cls.__module__.startswith("lt_det.")),
    key=lambda cls: cls.__name__,
)
_ROW_WEIGHTS = {
    "norm": "sample",
    "count_type": "image",
    "weighted_mean": True,
    "start_step": 100,
}
_REWEIGHTED = {"rho": 1.2, **_ROW_WEIGHTS}
_CLASS_BALANCED = {"beta": 0.9, **_ROW_WEIGHTS}
_SIGMOID = {"prior_prob": 0.001, "background_column": True}
_BALANCED_SOFTMAX = {"tau": 0.5, "count_type": "image", "fg_only": True}
# Another value than the default for every keyword-only parameter.
ALTERNATIVES = {
    "SoftmaxLoss": {},
    "SigmoidLoss": _SIGMOID,
    "BalancedSoftmaxLoss": _BALANCED_SOFTMAX,
    "LogitAdjustmentLoss": {**_BALANCED_SOFTMAX, "add_log_k": False},
    "BalancedSigmoidLoss": {
        "fg_only": False,
        "add_log_k": True,
        "count_type": "instance",
        **_SIGMOID,
    },
    "BalancedGroupSoftmaxLoss": {
        "thresholds": (50,),
        "others_ratio": 1.0,
        "count_type": "image",
    },
    "ReweightedSoftmaxLoss": _REWEIGHTED,
    "ReweightedSigmoidLoss": {**_REWEIGHTED, **_SIGMOID},
    "ClassBalancedSoftmaxLoss": _CLASS_BALANCED,
    "ClassBalancedSigmoidLoss": {**_CLASS_BALANCED, **_SIGMOID},
    "LDAMLoss": {"max_margin": 0.25, "scale": 1.0, "beta": 0.5, **_ROW_WEIGHTS},
    "SoftmaxEQLLoss": {
        "threshold": 0.5,
        "drop_rate": 0.5,
        "fg_only": False,
        "count_type": "instance",
    },
    "EquilibriumLoss": {
        "momentum": 0.5,
        "initial_score": 0.1,
        "background_score": 0.1,
        "per_roi": True,
    },
    "SeesawLoss": {"mitigation": 0.4, "compensation": 1.0, "min_prob": 0.5},
}
# Parameters beside which the others have an effect, where they have none beside the defaults.
BESIDE = {
    "LDAMLoss": {"beta": 0.9},
    "SoftmaxEQLLoss": {"threshold": 0.02},
}
# Losses with weights that are made from the logits and have no gradient: their own tests check it.
DETACHED = {"SeesawLoss"}
_PROBABILITIES = [0.0, 1.0, -0.1, math.nan]
_COUNT_TYPES = ["images", "", None]
_NOT_NEGATIVE = [-1.0, math.nan, math.inf]
_BAD_ROW_WEIGHTS = {
    "norm": ["mean", "", None],
    "count_type": _COUNT_TYPES,
    "start_step": [-1],
}
_BAD_REWEIGHTED = {"rho": _NOT_NEGATIVE, **_BAD_ROW_WEIGHTS}
_BAD_BETA = [1.0, -0.1, math.nan]
_BAD_CLASS_BALANCED = {"beta": _BAD_BETA, **_BAD_ROW_WEIGHTS}
_BAD_BALANCED_SOFTMAX = {"tau": _NOT_NEGATIVE, "count_type": _COUNT_TYPES}
_NOT_A_SHARE = [-0.1, 1.1, math.nan]
# Values without meaning, of the parameters that have such.
INVALID = {
    "SigmoidLoss": {"prior_prob": _PROBABILITIES},
    "BalancedSoftmaxLoss": _BAD_BALANCED_SOFTMAX,
    "LogitAdjustmentLoss": _BAD_BALANCED_SOFTMAX,
    "BalancedSigmoidLoss": {"prior_prob": _PROBABILITIES, "count_type": _COUNT_TYPES},
    "BalancedGroupSoftmaxLoss": {
        "thresholds": [(0,), (10, 5), (10, 10)],
        "others_ratio": _NOT_NEGATIVE,
        "count_type": _COUNT_TYPES,
    },
    "ReweightedSoftmaxLoss": _BAD_REWEIGHTED,
    "ReweightedSigmoidLoss": {**_BAD_REWEIGHTED, "prior_prob": _PROBABILITIES},
    "ClassBalancedSoftmaxLoss": _BAD_CLASS_BALANCED,
    "ClassBalancedSigmoidLoss": {**_BAD_CLASS_BALANCED, "prior_prob": _PROBABILITIES},
    "LDAMLoss": {"max_margin": _NOT_NEGATIVE, "scale": _NOT_NEGATIVE, **_BAD_CLASS_BALANCED},
    "SoftmaxEQLLoss": {
        "threshold": _NOT_A_SHARE,
        "drop_rate": _NOT_A_SHARE,
        "count_type": _COUNT_TYPES,
    },
    "EquilibriumLoss": {
        "momentum": _BAD_BETA,
        "initial_score": [0.0, 1.1, math.nan],
        "background_score": [0.0, 1.1, math.nan],
    },
    "SeesawLoss": {
        "mitigation": _NOT_NEGATIVE,
        "compensation": _NOT_NEGATIVE,
        "min_prob": [0.0, 1.1, math.nan],
    },
}
K, R = 4, 12

VARIANTS = [pytest.param(cls, {}, id=cls.__name__) for cls in LOSSES] + [
    pytest.param(cls, {name: value}, id=f"{cls.__name__}-{name}={value}")
    for cls in LOSSES
    for name, value in ALTERNATIVES.get(cls.__name__, {}).items()
]
every_loss = pytest.mark.parametrize("cls", LOSSES, ids=lambda cls: cls.__name__)
every_variant = pytest.mark.parametrize(("cls", "hyper"), VARIANTS)


def inputs(loss: BoxClsLoss, num_rois: int = R, dtype=torch.float64):
    """Logits of a plausible size; every class and the background among the labels."""
    logits = 3 * torch.randn(num_rois, loss.num_logits, dtype=dtype)
    return logits, torch.arange(num_rois) % (loss.num_classes + 1)


def mask_of(loss: BoxClsLoss, gt_classes: torch.Tensor):
    return loss.draw_mask(gt_classes, generator=torch.Generator().manual_seed(0))


def value_and_gradient(loss, logits, gt_classes):
    logits = logits.detach().clone().requires_grad_()
    value = loss(logits, gt_classes, mask_of(loss, gt_classes))
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    return value.detach(), gradient


def check_finite(loss, logits, gt_classes):
    value, gradient = value_and_gradient(loss, logits, gt_classes)
    assert value.shape == (len(gt_classes),)
    assert gradient.shape == logits.shape
    assert value.isfinite().all()
    assert gradient.isfinite().all()
    probs = loss.predict_probs(logits)
    assert probs.shape == (len(gt_classes), loss.num_classes + 1)
    assert ((probs >= 0) & (probs <= 1)).all()
