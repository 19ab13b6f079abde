"""What the contract tests share: the losses, their options, and small helpers.

A new loss is tested by being registered; it adds its parameters to PARAMETERS.
"""

import math

import pytest
import torch
from parameter_values import own, values

from lt_det.losses import BOX_CLS_LOSS_REGISTRY, BoxClsLoss, SigmoidLoss
from lt_det.registry import hyper_parameters

LOSSES = own(BOX_CLS_LOSS_REGISTRY)
_PROBABILITIES = [0.0, 1.0, -0.1, math.nan]
_SHARES = [-0.1, 1.1, math.nan]
_BELOW_ONE = [1.0, -0.1, math.nan]
_NOT_NEGATIVE = [-1.0, math.nan, math.inf]
_POSITIVE = [0.0, *_NOT_NEGATIVE]
_COUNT_TYPES = ["images", "", None]
_BOOL = []
# What follows has: parameter -> (another value than the default, values without meaning).
# Settings of every sigmoid loss.
_SIGMOID = {
    # Where the Gumbel link is not clamped, whatever shifts it.
    "prior_prob": (0.5, _PROBABILITIES),
    "background_column": (True, _BOOL),
    "objectness": ("train", ["yes", None]),
    "link": ("gumbel", ["logistic", "", None]),
    "federated_classes": (4, [-1]),
    "federated_power": (0.0, _NOT_NEGATIVE),
    "only_known_negatives": (True, _BOOL),
}
_TAIL = {"threshold": (0.2, [-0.1, 1.5, math.nan]), "keep_known_negatives": (True, _BOOL)}
_ALPHA = {"alpha": (-1.0, [1.5, math.nan])}
_ROW_WEIGHTS = {
    "norm": ("sample", ["mean", "", None]),
    "count_type": ("image", _COUNT_TYPES),
    "weighted_mean": (True, _BOOL),
    "start_step": (100, [-1]),
}
_REWEIGHTED = {"rho": (1.2, _NOT_NEGATIVE), **_ROW_WEIGHTS}
_CLASS_BALANCED = {"beta": (0.9, _BELOW_ONE), **_ROW_WEIGHTS}
_BALANCED_SOFTMAX = {
    "tau": (0.5, _NOT_NEGATIVE),
    "count_type": ("image", _COUNT_TYPES),
    "fg_only": (True, _BOOL),
}
PARAMETERS = {
    "SigmoidLoss": _SIGMOID,
    "EQLLoss": {**_SIGMOID, **_TAIL},
    "DropLoss": {**_SIGMOID, **_TAIL},
    "FederatedLoss": _SIGMOID,
    "FocalLoss": {**_SIGMOID, **_ALPHA, "gamma": (0.5, _NOT_NEGATIVE)},
    "EFLLoss": {
        **_SIGMOID,
        **_ALPHA,
        "gamma": (1.0, _POSITIVE),
        "scale": (4.0, _NOT_NEGATIVE),
    },
    "EQLv2Loss": {
        **_SIGMOID,
        "gamma": (5.0, _POSITIVE),
        "mu": (0.1, [math.nan, math.inf]),
        "alpha": (2.0, _NOT_NEGATIVE),
    },
    "ECMLoss": {
        **_SIGMOID,
        "background_ratio": (2.0, _POSITIVE),
        "count_type": ("instance", _COUNT_TYPES),
    },
    "ACSLLoss": {
        **_SIGMOID,
        "objectness": ("product", _SIGMOID["objectness"][1]),
        "min_score": (0.4, _PROBABILITIES),
        "background_shares": (
            (0.3, 0.6, 0.9),
            [(0.1, 0.1), (0.1, 0.1, 1.5), (-0.1, 0.1, 1)],
        ),
        "group_thresholds": ((50, 150), [(10,), (100, 10), (0, 10)]),
    },
    "BalancedSoftmaxLoss": _BALANCED_SOFTMAX,
    "LogitAdjustmentLoss": {**_BALANCED_SOFTMAX, "add_log_k": (False, _BOOL)},
    "BalancedSigmoidLoss": {
        **_SIGMOID,
        "fg_only": (False, _BOOL),
        "add_log_k": (True, _BOOL),
        "count_type": ("instance", _COUNT_TYPES),
    },
    "BalancedGroupSoftmaxLoss": {
        "thresholds": ((50,), [(0,), (10, 5), (10, 10)]),
        "others_ratio": (1.0, _NOT_NEGATIVE),
        "count_type": ("image", _COUNT_TYPES),
    },
    "ReweightedSoftmaxLoss": _REWEIGHTED,
    "ReweightedSigmoidLoss": {**_SIGMOID, **_REWEIGHTED},
    "ClassBalancedSoftmaxLoss": _CLASS_BALANCED,
    "ClassBalancedSigmoidLoss": {**_CLASS_BALANCED, **_SIGMOID},
    "LDAMLoss": {
        "max_margin": (0.25, _NOT_NEGATIVE),
        "scale": (1.0, _NOT_NEGATIVE),
        "beta": (0.5, _BELOW_ONE),
        **_ROW_WEIGHTS,
    },
    "SoftmaxEQLLoss": {
        "threshold": (0.5, _SHARES),
        "drop_rate": (0.5, _SHARES),
        "fg_only": (False, _BOOL),
        "count_type": ("instance", _COUNT_TYPES),
    },
    "EquilibriumLoss": {
        "momentum": (0.5, _BELOW_ONE),
        "initial_score": (0.1, [0.0, 1.1, math.nan]),
        "background_score": (0.1, [0.0, 1.1, math.nan]),
        "per_roi": (True, _BOOL),
    },
    "SeesawLoss": {
        "mitigation": (0.4, _NOT_NEGATIVE),
        "compensation": (1.0, _NOT_NEGATIVE),
        "min_prob": (0.5, [0.0, 1.1, math.nan]),
    },
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
    "keep_known_negatives": {"threshold": 0.2},
    "group_thresholds": {"background_shares": (0.2, 0.5, 1.0)},
}
# Losses with weights that are made from the logits and have no gradient: their own tests check it.
DETACHED = {"SeesawLoss"}
K, R = 4, 12


def parameters(cls) -> dict:
    """Parameter -> (another value than the default, values without meaning)."""
    return values(cls, PARAMETERS, "PARAMETERS in tests/helpers/contract.py")


def beside(cls, name: str) -> dict:
    """Parameters of ``cls`` without which another value of ``name`` may do nothing."""
    known = hyper_parameters(cls)
    others = {k: v for k, v in BESIDE_PARAMETER.get(name, {}).items() if k in known}
    return {**BESIDE.get(cls.__name__, {}), **others}


def _variants():
    """Defaults, every parameter alone, and the settings that sigmoid losses share at once."""
    for cls in LOSSES:
        yield pytest.param(cls, {}, id=cls.__name__)
        is_sigmoid = cls is not SigmoidLoss and issubclass(cls, SigmoidLoss)
        shared = {name: value for name, (value, _) in _SIGMOID.items()} if is_sigmoid else {}
        for name, (value, _) in PARAMETERS.get(cls.__name__, {}).items():
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


def known_negatives_of(loss: BoxClsLoss, gt_classes: torch.Tensor):
    """Every other class, others in every other RoI; None for a loss that uses none."""
    if not loss.uses_known_negatives:
        return None
    rows = torch.arange(len(gt_classes)).unsqueeze(1)
    return (rows + torch.arange(loss.num_classes)) % 2 == 0


def mask_of(loss: BoxClsLoss, gt_classes: torch.Tensor):
    """Draw the mask of :func:`known_negatives_of`, the same at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return loss.draw_mask(gt_classes, known_negatives_of(loss, gt_classes))


def permuted_columns(mask: torch.Tensor | None, columns: torch.Tensor):
    """A mask under another order of the logits; a column of the rows' own stays where it is."""
    if mask is None or mask.shape[1] < len(columns):
        return mask
    return torch.cat([mask[:, columns], mask[:, len(columns) :]], dim=1)


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
