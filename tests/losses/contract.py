"""What the contract tests share: the losses, their options, and small helpers.

A new loss is tested by being registered; it adds its parameters to ALTERNATIVES and INVALID.
"""

import math

import pytest
import torch

from lt_det.losses import BOX_CLS_LOSS_REGISTRY, BoxClsLoss, SigmoidLoss
from lt_det.registry import hyper_parameters

# Losses of lt_det itself: other tests may have registered theirs.
LOSSES = sorted(
    (cls for _, cls in BOX_CLS_LOSS_REGISTRY if cls.__module__.startswith("lt_det.")),
    key=lambda cls: cls.__name__,
)
# Settings of every sigmoid loss.
_SIGMOID = {
    "prior_prob": 0.5,  # where the Gumbel link is not clamped, whatever shifts it
    "background_column": True,
    "objectness": "train",
    "link": "gumbel",
    "federated_classes": 4,
    "federated_power": 0.0,
    "verified_only": True,
}
_ROW_WEIGHTS = {
    "norm": "sample",
    "count_type": "image",
    "weighted_mean": True,
    "start_step": 100,
}
_REWEIGHTED = {"rho": 1.2, **_ROW_WEIGHTS}
_CLASS_BALANCED = {"beta": 0.9, **_ROW_WEIGHTS}
_BALANCED_SOFTMAX = {"tau": 0.5, "count_type": "image", "fg_only": True}
# Another value than the default for every keyword-only parameter.
ALTERNATIVES = {
    "SoftmaxLoss": {},
    "SigmoidLoss": _SIGMOID,
    "EQLLoss": {**_SIGMOID, "threshold": 0.2, "keep_verified": True},
    "DropLoss": {**_SIGMOID, "threshold": 0.2, "keep_verified": True},
    "FederatedLoss": _SIGMOID,
    "FocalLoss": {**_SIGMOID, "gamma": 0.5, "alpha": -1.0},
    "EFLLoss": {**_SIGMOID, "gamma": 1.0, "scale": 4.0, "alpha": -1.0},
    "EQLv2Loss": {**_SIGMOID, "gamma": 5.0, "mu": 0.1, "alpha": 2.0},
    "ECMLoss": {**_SIGMOID, "background_ratio": 2.0, "count_type": "instance"},
    "ACSLLoss": {
        **_SIGMOID,
        "objectness": "product",
        "min_score": 0.4,
        "background_shares": (0.3, 0.6, 0.9),
        "group_thresholds": (50, 150),
    },
    "BalancedSoftmaxLoss": _BALANCED_SOFTMAX,
    "LogitAdjustmentLoss": {**_BALANCED_SOFTMAX, "add_log_k": False},
    "BalancedSigmoidLoss": {
        **_SIGMOID,
        "fg_only": False,
        "add_log_k": True,
        "count_type": "instance",
    },
    "BalancedGroupSoftmaxLoss": {
        "thresholds": (50,),
        "others_ratio": 1.0,
        "count_type": "image",
    },
    "ReweightedSoftmaxLoss": _REWEIGHTED,
    "ReweightedSigmoidLoss": {**_SIGMOID, **_REWEIGHTED},
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
# Parameters beside which those of a loss have an effect, where they have none beside the defaults.
BESIDE = {
    "LDAMLoss": {"beta": 0.9},
    "SoftmaxEQLLoss": {"threshold": 0.02},
}
# The same for a single parameter, whatever the loss.
BESIDE_PARAMETER = {
    "background_column": {"objectness": ""},
    "federated_power": {"federated_classes": 4},
    "keep_verified": {"threshold": 0.2},
    "group_thresholds": {"background_shares": (0.2, 0.5, 1.0)},
}
# Losses with weights that are made from the logits and have no gradient: their own tests check it.
DETACHED = {"SeesawLoss"}
_PROBABILITIES = [0.0, 1.0, -0.1, math.nan]
_COUNT_TYPES = ["images", "", None]
_NOT_NEGATIVE = [-1.0, math.nan, math.inf]
_NOT_POSITIVE = [0.0, *_NOT_NEGATIVE]
_BAD_SIGMOID = {
    "prior_prob": _PROBABILITIES,
    "objectness": ["yes", None],
    "link": ["logistic", "", None],
    "federated_classes": [-1],
    "federated_power": _NOT_NEGATIVE,
}
_BAD_TAIL = {"threshold": [-0.1, 1.5, math.nan]}
_BAD_ALPHA = {"alpha": [1.5, math.nan]}
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
    "SigmoidLoss": _BAD_SIGMOID,
    "EQLLoss": {**_BAD_SIGMOID, **_BAD_TAIL},
    "DropLoss": {**_BAD_SIGMOID, **_BAD_TAIL},
    "FederatedLoss": _BAD_SIGMOID,
    "FocalLoss": {**_BAD_SIGMOID, **_BAD_ALPHA, "gamma": _NOT_NEGATIVE},
    "EFLLoss": {**_BAD_SIGMOID, **_BAD_ALPHA, "gamma": _NOT_POSITIVE, "scale": _NOT_NEGATIVE},
    "EQLv2Loss": {
        **_BAD_SIGMOID,
        "gamma": _NOT_POSITIVE,
        "mu": [math.nan, math.inf],
        "alpha": _NOT_NEGATIVE,
    },
    "ECMLoss": {**_BAD_SIGMOID, "background_ratio": _NOT_POSITIVE, "count_type": _COUNT_TYPES},
    "ACSLLoss": {
        **_BAD_SIGMOID,
        "min_score": _PROBABILITIES,
        "background_shares": [(0.1, 0.1), (0.1, 0.1, 1.5), (-0.1, 0.1, 1)],
        "group_thresholds": [(10,), (100, 10), (0, 10)],
    },
    "BalancedSigmoidLoss": {**_BAD_SIGMOID, "count_type": _COUNT_TYPES},
    "BalancedSoftmaxLoss": _BAD_BALANCED_SOFTMAX,
    "LogitAdjustmentLoss": _BAD_BALANCED_SOFTMAX,
    "BalancedGroupSoftmaxLoss": {
        "thresholds": [(0,), (10, 5), (10, 10)],
        "others_ratio": _NOT_NEGATIVE,
        "count_type": _COUNT_TYPES,
    },
    "ReweightedSoftmaxLoss": _BAD_REWEIGHTED,
    "ReweightedSigmoidLoss": {**_BAD_REWEIGHTED, **_BAD_SIGMOID},
    "ClassBalancedSoftmaxLoss": _BAD_CLASS_BALANCED,
    "ClassBalancedSigmoidLoss": {**_BAD_CLASS_BALANCED, **_BAD_SIGMOID},
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


def beside(cls, name: str) -> dict:
    """Parameters of ``cls`` without which another value of ``name`` may do nothing."""
    known = hyper_parameters(cls)
    others = {k: v for k, v in BESIDE_PARAMETER.get(name, {}).items() if k in known}
    return {**BESIDE.get(cls.__name__, {}), **others}


def _variants():
    """Defaults, every parameter alone, and the settings that sigmoid losses share at once."""
    for cls in LOSSES:
        yield pytest.param(cls, {}, id=cls.__name__)
        shared = {} if cls is SigmoidLoss or not issubclass(cls, SigmoidLoss) else _SIGMOID
        for name, value in ALTERNATIVES.get(cls.__name__, {}).items():
            if shared.get(name) != value:
                hyper = beside(cls, name) | {name: value}
                yield pytest.param(cls, hyper, id=f"{cls.__name__}-{name}={value}")
        if shared:
            yield pytest.param(cls, shared, id=f"{cls.__name__}-all settings")


VARIANTS = list(_variants())
every_loss = pytest.mark.parametrize("cls", LOSSES, ids=lambda cls: cls.__name__)
every_variant = pytest.mark.parametrize(("cls", "hyper"), VARIANTS)


def inputs(loss: BoxClsLoss, num_rois: int = R, dtype=torch.float64):
    """Logits of a plausible size; every class and the background among the labels."""
    logits = 3 * torch.randn(num_rois, loss.num_logits, dtype=dtype)
    return logits, torch.arange(num_rois) % (loss.num_classes + 1)


def mask_of(loss: BoxClsLoss, gt_classes: torch.Tensor):
    """The mask; every other class is verified, others in every other RoI."""
    verified = None
    if loss.uses_verified:
        rows = torch.arange(len(gt_classes)).unsqueeze(1)
        verified = (rows + torch.arange(loss.num_classes)) % 2 == 0
    return loss.draw_mask(gt_classes, verified, torch.Generator().manual_seed(0))


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
