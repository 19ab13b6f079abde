"""Equalization loss v2: weights from the ratio of summed gradients."""

import math

import pytest
import torch
from autograd_sums import assert_sums_are_those_of_autograd

from lt_det.losses import EQLv2Loss, SigmoidLoss

# Probabilities 3/4, 1/2 and, of the background, 3/4.
LOGITS = torch.tensor([[math.log(3), 0.0, math.log(3)]], dtype=torch.float64)
LOG2, LOG4, LOG4_3 = math.log(2), math.log(4), math.log(4 / 3)


def loss_of_ratios(*ratios, **hyper):
    loss = EQLv2Loss(len(ratios), **hyper)
    loss.gradient_sums.positive.copy_(torch.tensor(ratios, dtype=torch.float64))
    loss.gradient_sums.negative.fill_(1)
    return loss


# The ratio 0.8 is mu: r = 1/2 and q = 1 + 4/2 = 3. The other r is 1 / (1 + e^-2.4).
R1 = 1 / (1 + math.exp(-2.4))


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (0, 3 * LOG4_3 + R1 * LOG2 + LOG4),
        (1, LOG4 / 2 + (1 + 4 * (1 - R1)) * LOG2 + LOG4),
        (2, LOG4 / 2 + R1 * LOG2 + LOG4_3),  # the background column has weight 1
    ],
)
def test_by_hand(label, expected):
    value = loss_of_ratios(0.8, 1.0)(LOGITS, torch.tensor([label])).item()
    assert value == pytest.approx(expected, rel=1e-13)


def test_probabilities_by_hand():
    expected = torch.tensor([[0.75 / 4, 0.5 / 4, 0.75]], dtype=torch.float64)
    torch.testing.assert_close(EQLv2Loss(2).predict_probs(LOGITS), expected)
    expected = torch.tensor([[0.75, 0.5, 0]], dtype=torch.float64)
    torch.testing.assert_close(EQLv2Loss(2, objectness="train").predict_probs(LOGITS), expected)


def test_before_any_gradient_it_is_the_plain_loss(class_stats):
    logits, labels = torch.randn(15, 5, dtype=torch.float64), torch.arange(15) % 5
    plain = SigmoidLoss(4, objectness="product")
    assert EQLv2Loss(4, class_stats)(logits, labels).equal(plain(logits, labels))


def test_a_class_without_positives_is_hardly_a_negative():
    """As released: r(0) = 1 / (1 + e^9.6), which is 7e-5, q = 5."""
    loss = EQLv2Loss(2)
    loss.update_state(LOGITS, torch.tensor([1]))
    positive, negative = loss.class_weights()
    assert negative[0].item() == pytest.approx(1 / (1 + math.exp(9.6)), rel=1e-12)
    assert positive[0].item() == pytest.approx(5, abs=1e-3)
    assert negative[1].item() == 1  # no negative so far: a ratio without bound


def test_sums_by_hand():
    """Errors 1/4 and 1/2, weighted by r and q of the state before."""
    loss = loss_of_ratios(0.8, 1.0)
    q = 1 + 4 * (1 - R1)
    loss.update_state(LOGITS.expand(3, 3), torch.tensor([0, 1, 2]))
    positive, negative = loss.gradient_sums.positive, loss.gradient_sums.negative
    assert positive.tolist() == pytest.approx([0.8 + 3 * 0.25, 1 + q * 0.5], rel=1e-12)
    assert negative.tolist() == pytest.approx([1 + 0.75, 1 + 2 * R1 * 0.5], rel=1e-12)


@pytest.mark.parametrize("link", ["sigmoid", "gumbel"])
@pytest.mark.parametrize("objectness", ["", "product"])
def test_sums_are_those_of_autograd(link, objectness):
    loss = loss_of_ratios(0.3, 0.7, 0.9, 2.0, link=link, objectness=objectness)
    assert_sums_are_those_of_autograd(loss)
