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
_REWEIGHTED = {"rho": 1.2, "norm": "sample", "count_type": "image", "weighted_mean": True}
# Another value than the default for every keyword-only parameter.
ALTERNATIVES = {
    "SoftmaxLoss": {},
    "SigmoidLoss": {"prior_prob": 0.001, "background_column": True},
    "BalancedSoftmaxLoss": {"tau": 0.5, "count_type": "image", "fg_only": True},
    "BalancedSigmoidLoss": {
        "fg_only": False,
        "add_log_k": True,
        "count_type": "instance",
        "prior_prob": 0.001,
        "background_column": True,
    },
    "BalancedGroupSoftmaxLoss": {
        "thresholds": (50,),
        "others_ratio": 1.0,
        "count_type": "image",
    },
    "ReweightedSoftmaxLoss": _REWEIGHTED,
    "ReweightedSigmoidLoss": {**_REWEIGHTED, "prior_prob": 0.001, "background_column": True},
}
_PROBABILITIES = [0.0, 1.0, -0.1, math.nan]
_COUNT_TYPES = ["images", "", None]
_BAD_REWEIGHTED = {
    "rho": [-1.0, math.nan, math.inf],
    "norm": ["mean", "", None],
    "count_type": _COUNT_TYPES,
}
# Values without meaning, of the parameters that have such.
INVALID = {
    "SigmoidLoss": {"prior_prob": _PROBABILITIES},
    "BalancedSoftmaxLoss": {"tau": [-1.0, math.nan, math.inf], "count_type": _COUNT_TYPES},
    "BalancedSigmoidLoss": {"prior_prob": _PROBABILITIES, "count_type": _COUNT_TYPES},
    "BalancedGroupSoftmaxLoss": {
        "thresholds": [(0,), (10, 5), (10, 10)],
        "others_ratio": [-1.0, math.nan, math.inf],
        "count_type": _COUNT_TYPES,
    },
    "ReweightedSoftmaxLoss": _BAD_REWEIGHTED,
    "ReweightedSigmoidLoss": {**_BAD_REWEIGHTED, "prior_prob": _PROBABILITIES},
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
