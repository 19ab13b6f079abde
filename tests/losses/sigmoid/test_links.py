"""Links: probabilities, losses and their derivatives."""

import math

import pytest
import torch

from lt_det.losses.sigmoid.links import LINKS, GumbelLink, SigmoidLink

every_link = pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
LOGITS = torch.linspace(-3.9, 9.9, 24, dtype=torch.float64)


def of(link, logit, target):
    logit = torch.tensor([logit], dtype=torch.float64)
    return link.loss(logit, torch.full_like(logit, target)).item()


def test_sigmoid_by_hand():
    assert of(SigmoidLink, math.log(3), 1) == pytest.approx(math.log(4 / 3), rel=1e-14)
    assert of(SigmoidLink, math.log(3), 0) == pytest.approx(math.log(4), rel=1e-14)


def test_gumbel_by_hand():
    """At u = 0 p is 1/e; at u = -log log 2 it is 1/2."""
    assert of(GumbelLink, 0.0, 1) == pytest.approx(1, rel=1e-14)
    assert of(GumbelLink, 0.0, 0) == pytest.approx(-math.log(1 - 1 / math.e), rel=1e-14)
    half = -math.log(math.log(2))
    for target in (0, 1):
        assert of(GumbelLink, half, target) == pytest.approx(math.log(2), rel=1e-14)


def test_gumbel_is_clamped_in_the_loss_alone():
    logits = torch.tensor([-20.0, 20.0], dtype=torch.float64, requires_grad=True)
    loss = GumbelLink.loss(logits, torch.tensor([1.0, 0.0], dtype=torch.float64))
    expected = [math.exp(4), -math.log(-math.expm1(-math.exp(-10)))]
    assert loss.tolist() == pytest.approx(expected, rel=1e-12)
    loss.sum().backward()
    assert logits.grad.tolist() == [0, 0]
    assert GumbelLink.probs(torch.tensor(-5.0).double()).item() == math.exp(-math.exp(5))


def test_gumbel_keeps_single_precision():
    """1 - p is 5e-5 at u = 10, which a single-precision p knows to one digit in a thousand."""
    logits = torch.tensor([10.0])
    assert GumbelLink.loss(logits, torch.zeros(1)).item() == pytest.approx(
        -math.log(-math.expm1(-math.exp(-10))), rel=1e-6
    )


@every_link
@pytest.mark.parametrize("prob", [0.5, 0.01, 0.000618])
def test_logit_is_the_inverse_of_probs(link, prob):
    logit = torch.tensor(link.logit(prob), dtype=torch.float64)
    assert link.probs(logit).item() == pytest.approx(prob, rel=1e-12)


def test_the_prior_of_gol_is_its_bias():
    assert GumbelLink.logit(math.exp(-math.exp(2))) == pytest.approx(-2, rel=1e-12)


@every_link
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_loss_is_minus_the_log_of_the_probability(link, target):
    probs = link.probs(LOGITS)
    expected = -(probs if target else 1 - probs).log()
    torch.testing.assert_close(link.loss(LOGITS, torch.full_like(LOGITS, target)), expected)


@every_link
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_derivative_is_error_times_stretch(link, target):
    logits = torch.cat([LOGITS, torch.tensor([-4.5, 10.5], dtype=torch.float64)])
    logits.requires_grad_()
    targets = torch.full_like(logits, target)
    (gradient,) = torch.autograd.grad(link.loss(logits, targets).sum(), logits)
    logits = logits.detach()
    actual = (link.probs(logits) - targets) * link.stretch(logits)
    torch.testing.assert_close(actual, gradient, rtol=1e-9, atol=1e-12)
