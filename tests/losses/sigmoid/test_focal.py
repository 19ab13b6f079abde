"""Focal loss."""

import math

import pytest
import torch
from fvcore.nn import sigmoid_focal_loss

from lt_det.losses import FocalLoss, SigmoidLoss

# Probabilities 3/4 and 1/2.
LOGITS = torch.tensor([[math.log(3), 0.0]], dtype=torch.float64)
# Of the elements: as a positive and as a negative, times (1 - p_t)^2.
POSITIVE = [math.log(4 / 3) / 16, math.log(2) / 4]
NEGATIVE = [math.log(4) * 9 / 16, math.log(2) / 4]


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (0, 0.25 * POSITIVE[0] + 0.75 * NEGATIVE[1]),
        (1, 0.75 * NEGATIVE[0] + 0.25 * POSITIVE[1]),
        (2, 0.75 * sum(NEGATIVE)),
    ],
)
def test_by_hand(label, expected):
    assert FocalLoss(2)(LOGITS, torch.tensor([label])).item() == pytest.approx(expected, rel=1e-13)


def test_gumbel_by_hand():
    """At u = 0 p = 1/e: a positive is (1 - 1/e)^2, a negative -log(1 - 1/e) / e^2."""
    logits, loss = torch.zeros(1, 2, dtype=torch.float64), FocalLoss(2, alpha=-1.0, link="gumbel")
    q = 1 / math.e
    expected = (1 - q) ** 2 - q**2 * math.log(1 - q)
    assert loss(logits, torch.tensor([1])).item() == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("alpha", [-1.0, 0.25])
def test_it_is_fvcores(gamma, alpha):
    logits, labels = 3 * torch.randn(10, 4), torch.arange(10) % 5
    targets = torch.eye(5)[labels][:, :4]
    expected = sigmoid_focal_loss(logits, targets, alpha, gamma).sum(dim=1)
    actual = FocalLoss(4, gamma=gamma, alpha=alpha)(logits, labels)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)


def test_without_focus_it_is_the_plain_loss():
    logits, labels = torch.randn(15, 4, dtype=torch.float64), torch.arange(15) % 5
    plain = SigmoidLoss(4)(logits, labels)
    assert FocalLoss(4, gamma=0.0, alpha=-1.0)(logits, labels).equal(plain)
    half = FocalLoss(4, gamma=0.0, alpha=0.5)(logits, labels)
    torch.testing.assert_close(half, plain / 2, rtol=1e-14, atol=0)


def test_steep_focus_is_finite_where_nothing_is_left_to_learn():
    """(1 - p_t)^0.5 has an infinite derivative at p_t = 1; the loss has none."""
    logits = torch.tensor([[200.0, -200.0]], dtype=torch.float64, requires_grad=True)
    FocalLoss(2, gamma=0.5)(logits, torch.tensor([0])).sum().backward()
    assert logits.grad.abs().max() < 1e-80
