"""Class-balanced weights: by hand, by the sum they stand for, their two limits."""

import numpy as np
import pytest
import torch

from lt_det.class_stats import ClassStats
from lt_det.losses import (
    ClassBalancedSigmoidLoss,
    ClassBalancedSoftmaxLoss,
    ReweightedSoftmaxLoss,
    SigmoidLoss,
    SoftmaxLoss,
)

PAIRS = [(ClassBalancedSoftmaxLoss, SoftmaxLoss), (ClassBalancedSigmoidLoss, SigmoidLoss)]
every_pair = pytest.mark.parametrize(("cls", "plain"), PAIRS)


def stats_of(*counts):
    counts = np.array(counts, dtype=float)
    return ClassStats(len(counts), counts.sum(), counts, counts)


@pytest.mark.parametrize(
    ("counts", "beta", "norm", "expected"),
    [
        # (1 - 1/2) / (1 - 1/4) = 2/3 and (1 - 1/2) / (1 - 1/2) = 1, scaled by 2 / (5/3).
        ((2, 1), 0.5, "class", [4 / 5, 6 / 5]),
        # The same weights; shares 2/3 and 1/3: 2/3 * 2/3 + 1/3 * 1 = 7/9.
        ((2, 1), 0.5, "sample", [6 / 7, 9 / 7]),
        # 0.1 / (1 - 0.81) = 10/19, 0.1 / 0.1 = 1, 0.1 / (1 - 0.729) = 100/271.
        (
            (2, 1, 3),
            0.9,
            "class",
            [3 * w / (10 / 19 + 1 + 100 / 271) for w in (10 / 19, 1, 100 / 271)],
        ),
        ((5, 5, 5), 0.999, "class", [1, 1, 1]),
        ((900, 1), 0.0, "class", [1, 1]),
    ],
)
def test_weights_by_hand(counts, beta, norm, expected):
    loss = ClassBalancedSoftmaxLoss(len(counts), stats_of(*counts), beta=beta, norm=norm)
    torch.testing.assert_close(
        loss.class_weights(), torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0
    )


def test_weight_is_the_inverse_of_the_effective_number():
    """1 + beta + beta^2 + ... + beta^(n - 1): the n-th sample adds what is not covered yet."""
    loss = ClassBalancedSoftmaxLoss(3, stats_of(40, 7, 1), beta=0.95)
    covered = [sum(0.95**i for i in range(n)) for n in (40, 7, 1)]
    for weight, number in zip(loss.raw_class_weights().tolist(), covered, strict=True):
        assert weight == pytest.approx(1 / number, rel=1e-12)


def test_beta_close_to_one_is_the_inverse_count():
    stats = stats_of(1_000_000, 1000, 1)
    inverse = ReweightedSoftmaxLoss(3, stats, rho=1.0).class_weights()
    weights = ClassBalancedSoftmaxLoss(3, stats, beta=1 - 1e-13).class_weights()
    torch.testing.assert_close(weights, inverse, rtol=1e-3, atol=0)


@every_pair
def test_beta_zero_is_the_plain_loss(cls, plain, class_stats):
    loss = cls(4, class_stats, beta=0.0)
    logits = torch.randn(9, loss.num_logits, dtype=torch.float64)
    gt_classes = torch.arange(9) % 5
    assert loss(logits, gt_classes).equal(plain(4)(logits, gt_classes))


@every_pair
def test_rows_are_the_plain_losses_times_their_weights(cls, plain, class_stats):
    """Background counts 1."""
    loss = cls(4, class_stats, beta=0.99)
    logits = torch.randn(10, loss.num_logits, dtype=torch.float64)
    gt_classes = torch.arange(10) % 5
    raw = [0.01 / (1 - 0.99**n) for n in class_stats.instance_count]
    weights = [4 * w / sum(raw) for w in raw] + [1.0]
    expected = plain(4)(logits, gt_classes) * torch.tensor(weights).double()[gt_classes]
    torch.testing.assert_close(loss(logits, gt_classes), expected, rtol=1e-6, atol=0)
