"""SigmoidLoss: K binary cross-entropies a RoI."""

import math

import pytest
import torch

from lt_det.losses import SigmoidLoss


def slow(logits, gt_classes, num_classes, weight=None):
    """One element at a time, from the definition of the logistic function."""
    losses = []
    for i, row in enumerate(logits.tolist()):
        total = 0.0
        for j in range(num_classes):
            p = 1 / (1 + math.exp(-row[j]))
            element = -math.log(p) if gt_classes[i] == j else -math.log(1 - p)
            total += element if weight is None else element * weight[i, j].item()
        losses.append(total)
    return torch.tensor(losses, dtype=torch.float64)


@pytest.fixture
def gt_classes():
    return torch.tensor([0, 1, 2, 3, 4, 4, 0, 2, 4])


@pytest.mark.parametrize("background_column", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_equals_a_loop(background_column, masked, gt_classes):
    loss = SigmoidLoss(4, background_column=background_column)
    assert loss.num_logits == 4 + background_column
    logits = torch.randn(9, loss.num_logits, dtype=torch.float64)
    mask = torch.rand(9, loss.num_logits, dtype=torch.float64) if masked else None
    torch.testing.assert_close(
        loss(logits, gt_classes, mask), slow(logits, gt_classes, 4, mask), rtol=1e-12, atol=1e-12
    )


def test_by_hand():
    """Logits log 3 and 0: probabilities 3/4 and 1/2."""
    logits = torch.tensor([[math.log(3), 0.0]], dtype=torch.float64)
    loss = SigmoidLoss(2)
    for label, product in enumerate((3 / 4 * 1 / 2, 1 / 4 * 1 / 2, 1 / 4 * 1 / 2)):
        value = loss(logits, torch.tensor([label])).item()
        assert value == pytest.approx(-math.log(product), rel=1e-14)
    expected = torch.tensor([[0.75, 0.5, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(loss.predict_probs(logits), expected)


def test_gradient_is_probability_minus_target(gt_classes):
    logits = torch.randn(9, 5, dtype=torch.float64, requires_grad=True)
    SigmoidLoss(4, background_column=True)(logits, gt_classes).sum().backward()
    target = torch.eye(5, dtype=torch.float64)[gt_classes]
    expected = 1 / (1 + (-logits.detach()).exp()) - target
    expected[:, 4] = 0  # the dead column
    torch.testing.assert_close(logits.grad, expected, rtol=1e-12, atol=1e-12)


def test_dead_column_is_never_read(gt_classes):
    loss = SigmoidLoss(4, background_column=True)
    logits = torch.randn(9, 5, dtype=torch.float64)
    other = logits.clone()
    other[:, 4] = math.inf
    assert loss(logits, gt_classes).equal(loss(other, gt_classes))
    assert loss.predict_probs(logits).equal(loss.predict_probs(other))
    assert (loss.predict_probs(logits)[:, 4] == 0).all()


@pytest.mark.parametrize("prior_prob", [0.5, 0.01, 0.001])
def test_initial_bias_is_the_logit_of_the_prior(prior_prob):
    bias = SigmoidLoss(4, prior_prob=prior_prob).init_bias()
    assert 1 / (1 + math.exp(-bias)) == pytest.approx(prior_prob, rel=1e-12)


def test_first_loss_of_many_classes_is_small():
    """1,203 classes at bias 0 would cost 1203 log 2 = 834 a RoI; from 0.01 it is 12."""
    loss = SigmoidLoss(1203)
    logits = torch.full((1, 1203), loss.init_bias(), dtype=torch.float64)
    background = loss(logits, torch.tensor([1203])).item()
    assert background == pytest.approx(-1203 * math.log(0.99), rel=1e-9)
    assert SigmoidLoss(1203)(0 * logits, torch.tensor([1203])).item() == pytest.approx(833.9, 1e-3)
