"""Logit adjustment: by hand, as Balanced Softmax, as the post-hoc form undone."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lt_det.class_stats import ClassStats
from lt_det.losses import BalancedSoftmaxLoss, LogitAdjustmentLoss, SoftmaxLoss
from lt_det.modeling.calibrations.prior_calibration import LogitAdjustmentCalibration

COUNTS = np.array([6.0, 3.0, 1.0])
STATS = ClassStats(3, 20, COUNTS, COUNTS)


@pytest.mark.parametrize(
    ("label", "tau", "add_log_k", "expected"),
    [
        # Logits 0: odds 1.8 : 0.9 : 0.3 : 1 with log K, 0.6 : 0.3 : 0.1 : 1 without.
        (0, 1.0, True, math.log(4 / 1.8)),
        (3, 1.0, True, math.log(4)),
        (2, 1.0, False, math.log(2 / 0.1)),
        (3, 1.0, False, math.log(2)),
        (1, 2.0, False, math.log((0.36 + 0.09 + 0.01 + 1) / 0.09)),
        (1, 2.0, True, math.log((3.24 + 0.81 + 0.09 + 1) / 0.81)),
    ],
)
def test_losses_by_hand(label, tau, add_log_k, expected):
    loss = LogitAdjustmentLoss(3, STATS, tau=tau, add_log_k=add_log_k)
    value = loss(torch.zeros(1, 4, dtype=torch.float64), torch.tensor([label]))
    assert value.item() == pytest.approx(expected, rel=1e-12)


def test_is_balanced_softmax(class_stats):
    logits, gt_classes = torch.randn(9, 5, dtype=torch.float64), torch.arange(9) % 5
    for tau in (0.5, 1.0, 2.0):
        ours = LogitAdjustmentLoss(4, class_stats, tau=tau)(logits, gt_classes)
        assert ours.equal(BalancedSoftmaxLoss(4, class_stats, tau=tau)(logits, gt_classes))


def test_the_constant_is_nothing_without_a_background(class_stats):
    logits, gt_classes = torch.randn(9, 5, dtype=torch.float64), torch.arange(9) % 4
    logits[:, 4] = -math.inf
    text = LogitAdjustmentLoss(4, class_stats, add_log_k=False)(logits, gt_classes)
    ours = LogitAdjustmentLoss(4, class_stats)(logits, gt_classes)
    torch.testing.assert_close(text, ours, rtol=1e-12, atol=1e-14)


def test_the_posthoc_form_undoes_it(class_stats):
    """Training adds what calibration subtracts."""
    loss = LogitAdjustmentLoss(4, class_stats, tau=0.7)
    logits, gt_classes = torch.randn(9, 5, dtype=torch.float64), torch.arange(9) % 5
    shifted = loss.shifted(logits, gt_classes)
    back = LogitAdjustmentCalibration(tau=0.7).calibrated(shifted, loss, None)
    torch.testing.assert_close(back, logits, rtol=1e-12, atol=1e-14)


def test_without_strength_it_is_the_plain_loss(class_stats):
    logits, gt_classes = torch.randn(9, 5, dtype=torch.float64), torch.arange(9) % 5
    loss = LogitAdjustmentLoss(4, class_stats, tau=0.0, add_log_k=False)
    assert loss(logits, gt_classes).equal(SoftmaxLoss(4)(logits, gt_classes))
    assert loss.predict_probs(logits).equal(F.softmax(logits, dim=1))
