"""BalancedSoftmaxLoss against eq. 3 of the paper written out, and its limit cases."""

import itertools
import math

import numpy as np
import pytest
import torch

from lt_det.class_stats import ClassStats
from lt_det.losses import BalancedSoftmaxLoss, SoftmaxLoss

OPTIONS = list(itertools.product([0.0, 0.5, 1.0, 2.0], ["image", "instance"], [False, True]))
K = 4


@pytest.fixture
def case():
    return torch.randn(10, 5, dtype=torch.float64), torch.arange(10) % 5


def uniform(count=30.0, num_classes=K):
    return ClassStats(num_classes, 200, np.full(num_classes, count), np.full(num_classes, count))


def posterior(row, count, tau, shifted=True):
    """Eq. 3 with a background: weights n_j^tau on e^z, the foreground kept at its mean weight.

    With weights w_j = (n_j / mean n)^tau = (K q_j)^tau and w_bg = 1: no logarithm, no shift.
    """
    weight = [(n / (sum(count) / len(count))) ** tau if shifted else 1.0 for n in count] + [1.0]
    unnormalised = [w * math.exp(z) for w, z in zip(weight, row, strict=True)]
    return [u / sum(unnormalised) for u in unnormalised]


@pytest.mark.parametrize(("tau", "count_type", "fg_only"), OPTIONS)
def test_values_and_gradients_equal_the_posterior_written_out(
    tau, count_type, fg_only, case, class_stats
):
    logits, gt_classes = case
    logits.requires_grad_()
    loss = BalancedSoftmaxLoss(K, class_stats, tau=tau, count_type=count_type, fg_only=fg_only)
    values = loss(logits, gt_classes)
    (gradient,) = torch.autograd.grad(values.sum(), logits)
    count = {"image": [180, 60, 11, 2], "instance": [400, 900, 15, 2]}[count_type]
    for i, label in enumerate(gt_classes.tolist()):
        shifted = label != K or not fg_only
        probs = posterior(logits[i].tolist(), count, tau, shifted)
        assert values[i].item() == pytest.approx(-math.log(probs[label]), rel=1e-11)
        delta = [p - (j == label) for j, p in enumerate(probs)]
        np.testing.assert_allclose(gradient[i].numpy(), delta, rtol=1e-10, atol=1e-13)


def test_by_hand():
    """Counts 3 and 1: K q = 3/2 and 1/2, so at z = 0 the posterior is 1/2, 1/6, background 1/3."""
    loss = BalancedSoftmaxLoss(2, ClassStats(2, 4, [3, 1], [3, 1]))
    values = loss(torch.zeros(3, 3, dtype=torch.float64), torch.tensor([0, 1, 2]))
    expected = torch.tensor([math.log(2), math.log(6), math.log(3)], dtype=torch.float64)
    torch.testing.assert_close(values, expected, rtol=1e-14, atol=0)


def test_by_hand_with_logits_and_half_strength():
    """Counts 9 and 1: K q = 9/5, 1/5; their roots 3, 1 over sqrt 5."""
    stats = ClassStats(2, 10, [9, 1], [9, 1])
    logits = torch.tensor([[0.0, math.log(3), math.log(math.sqrt(5))]], dtype=torch.float64)
    value = BalancedSoftmaxLoss(2, stats, tau=0.5)(logits, torch.tensor([1]))
    # Weights times e^z: 3/sqrt 5, 3/sqrt 5, sqrt 5 = 3 : 3 : 5.
    assert value.item() == pytest.approx(-math.log(3 / 11), rel=1e-14)


def test_by_hand_with_a_zero_count():
    """Half an observation for the class never seen: counts 3.5 and 0.5, K q = 7/4 and 1/4."""
    loss = BalancedSoftmaxLoss(2, ClassStats(2, 4, [3.5, 0], [3.5, 0]))
    values = loss(torch.zeros(3, 3, dtype=torch.float64), torch.tensor([0, 1, 2]))
    expected = torch.tensor([12 / 7, 12.0, 3.0], dtype=torch.float64).log()
    torch.testing.assert_close(values, expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    "loss",
    [
        BalancedSoftmaxLoss(K, uniform()),
        BalancedSoftmaxLoss(K, uniform(), tau=3.0),
        BalancedSoftmaxLoss(K, uniform(), count_type="image"),
        BalancedSoftmaxLoss(K, uniform(), fg_only=True),
        BalancedSoftmaxLoss(K, uniform(count=0.0)),
        BalancedSoftmaxLoss(K, ClassStats(K, 9, [9, 8, 1, 0], [9, 99, 1, 0]), tau=0.0),
    ],
    ids=["uniform", "tau", "image", "fg_only", "all zero", "tau=0"],
)
def test_limits_are_the_plain_softmax(loss, case):
    logits, gt_classes = case
    results = []
    for other in (loss, SoftmaxLoss(K)):
        leaf = logits.clone().requires_grad_()
        values = other(leaf, gt_classes)
        results.append((values.detach(), *torch.autograd.grad(values.sum(), leaf)))
    for ours, plain in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-13, atol=1e-13)


def test_one_class_is_the_plain_softmax():
    logits, gt_classes = torch.randn(6, 2).double(), torch.tensor([0, 1, 0, 1, 1, 0])
    loss = BalancedSoftmaxLoss(1, ClassStats(1, 7, [7], [40]))
    torch.testing.assert_close(loss(logits, gt_classes), SoftmaxLoss(1)(logits, gt_classes))


def test_only_shares_matter(case, class_stats):
    """A data set ten times as large, equally distributed, has the same loss."""
    larger = ClassStats(K, 2000, 10 * class_stats.image_count, 10 * class_stats.instance_count)
    a, b = (BalancedSoftmaxLoss(K, stats)(*case) for stats in (class_stats, larger))
    torch.testing.assert_close(a, b, rtol=1e-13, atol=0)


def test_background_keeps_its_probability(class_stats):
    """Where the foreground logits are equal, the shift only redistributes within it."""
    logits = torch.cat([torch.zeros(5, 4), torch.randn(5, 1)], dim=1).double()
    background = torch.full((5,), K)
    balanced = BalancedSoftmaxLoss(K, class_stats)(logits, background)
    torch.testing.assert_close(balanced, SoftmaxLoss(K)(logits, background))


def test_training_posterior_at_zero_is_the_prior(class_stats):
    """Foreground probabilities are proportional to the counts and sum to K / (K + 1)."""
    loss = BalancedSoftmaxLoss(K, class_stats)
    values = loss(torch.zeros(5, 5, dtype=torch.float64), torch.arange(5))
    probs = (-values).exp()
    prior = torch.tensor([400, 900, 15, 2], dtype=torch.float64) / 1317
    torch.testing.assert_close(probs[:K], prior * K / (K + 1), rtol=1e-12, atol=0)
    assert probs.sum().item() == pytest.approx(1, rel=1e-13)


def test_prediction_is_the_plain_softmax(case, class_stats):
    logits, _ = case
    probs = BalancedSoftmaxLoss(K, class_stats).predict_probs(logits)
    assert probs.equal(SoftmaxLoss(K).predict_probs(logits))
    torch.testing.assert_close(probs.sum(dim=1), torch.ones(10).double())


def test_a_balanced_model_needs_no_shift_to_be_right(class_stats):
    """If z is the log of the test posterior, the loss sees the training posterior."""
    test_posterior = torch.tensor([[0.2, 0.3, 0.1, 0.1, 0.3]], dtype=torch.float64)
    prior = class_stats.instance_count / class_stats.instance_count.sum()
    weight = np.append(K * prior, 1)
    train_posterior = test_posterior.numpy()[0] * weight
    train_posterior /= train_posterior.sum()
    loss = BalancedSoftmaxLoss(K, class_stats)
    values = loss(test_posterior.log().expand(5, 5), torch.arange(5))
    np.testing.assert_allclose((-values).exp().numpy(), train_posterior, rtol=1e-12)
