"""Equalized focal loss: a gamma for each class."""

import math

import pytest
import torch
from autograd_sums import assert_sums_are_those_of_autograd

from lt_det.losses import EFLLoss, FocalLoss

# Probabilities 3/4 and 1/2.
LOGITS = torch.tensor([[math.log(3), 0.0]], dtype=torch.float64)


def loss_of_ratios(*ratios, **hyper):
    loss = EFLLoss(len(ratios), **hyper)
    loss.gradient_sums.positive.copy_(torch.tensor(ratios, dtype=torch.float64))
    loss.gradient_sums.negative.fill_(1)
    return loss


def element(error, gamma, alpha):
    """Of an element that is wrong by ``error``: alpha gamma / 2 (1 - p_t)^gamma (-log p_t)."""
    return -alpha * gamma / 2 * error**gamma * math.log(1 - error)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        # The ratio 0.5 makes gamma 6, the ratio 3 counts as 1 and leaves it at 2.
        (0, element(1 / 4, 6, 0.25) + element(1 / 2, 2, 0.75)),
        (1, element(3 / 4, 6, 0.75) + element(1 / 2, 2, 0.25)),
        (2, element(3 / 4, 6, 0.75) + element(1 / 2, 2, 0.75)),
    ],
)
def test_by_hand(label, expected):
    value = loss_of_ratios(0.5, 3.0)(LOGITS, torch.tensor([label])).item()
    assert value == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("objectness", ["", "train"])
def test_balanced_classes_have_the_focal_loss(objectness):
    labels = torch.arange(10) % 5
    for loss in (EFLLoss(4, objectness=objectness), loss_of_ratios(1, 2, 1, 5, alpha=0.25)):
        logits = torch.randn(10, loss.num_logits, dtype=torch.float64)
        expected = FocalLoss(4, objectness=loss.objectness)(logits, labels)
        torch.testing.assert_close(loss(logits, labels), expected, rtol=1e-9, atol=0)


def test_without_scale_it_is_the_focal_loss():
    logits, labels = torch.randn(10, 4, dtype=torch.float64), torch.arange(10) % 5
    loss = loss_of_ratios(0, 0.1, 0.5, 2, scale=0.0)
    torch.testing.assert_close(loss(logits, labels), FocalLoss(4)(logits, labels))


def test_sums_by_hand():
    """Of one positive at p = 1/2 and gamma 2: 1/4 (1/2)^2 (1/2 + 2 (1/2) log 2)."""
    loss = EFLLoss(1)
    loss.update_state(torch.zeros(1, 1, dtype=torch.float64), torch.tensor([0]))
    expected = (0.5 + math.log(2)) / 16
    assert loss.gradient_sums.positive.item() == pytest.approx(expected, rel=1e-12)
    assert loss.gradient_sums.negative.item() == 0


@pytest.mark.parametrize("link", ["sigmoid", "gumbel"])
@pytest.mark.parametrize("hyper", [{}, {"alpha": -1.0}, {"gamma": 0.5}, {"objectness": "train"}])
def test_sums_are_those_of_autograd(link, hyper):
    loss = loss_of_ratios(0.3, 0.7, 0.9, 2.0, link=link, **hyper)
    assert_sums_are_those_of_autograd(loss)
