"""BalancedSigmoidLoss against odds written out, and its limit cases."""

import itertools
import math

import numpy as np
import pytest
import torch

from lt_det.class_stats import ClassStats
from lt_det.losses import BalancedSigmoidLoss, SigmoidLoss

K = 4
OPTIONS = list(
    itertools.product([True, False], [False, True], ["image", "instance"], [False, True])
)
FREQUENCY = {
    "image": [180 / 200, 60 / 200, 11 / 200, 2 / 200],
    "instance": [400 / 1317, 900 / 1317, 15 / 1317, 2 / 1317],
}


def probabilities(row, frequency, shifted, log_k):
    """Sigmoid by odds: e^z times the odds of the class, times K - 1 for eq. 36's constant."""
    probs = []
    for z, f in zip(row[: len(frequency)], frequency, strict=True):
        odds = math.exp(z)
        if shifted:
            odds *= f / (1 - f) * (len(frequency) - 1 if log_k else 1)
        probs.append(odds / (1 + odds))
    return probs


@pytest.mark.parametrize(("fg_only", "add_log_k", "count_type", "background_column"), OPTIONS)
def test_values_and_gradients_equal_odds_written_out(
    fg_only, add_log_k, count_type, background_column, class_stats
):
    loss = BalancedSigmoidLoss(
        K,
        class_stats,
        fg_only=fg_only,
        add_log_k=add_log_k,
        count_type=count_type,
        background_column=background_column,
    )
    logits = torch.randn(10, loss.num_logits, dtype=torch.float64, requires_grad=True)
    gt_classes = torch.arange(10) % (K + 1)
    values = loss(logits, gt_classes)
    (gradient,) = torch.autograd.grad(values.sum(), logits)
    for i, label in enumerate(gt_classes.tolist()):
        shifted = label != K or not fg_only
        probs = probabilities(logits[i].tolist(), FREQUENCY[count_type], shifted, add_log_k)
        value = -sum(math.log(p if j == label else 1 - p) for j, p in enumerate(probs))
        assert values[i].item() == pytest.approx(value, rel=1e-11)
        delta = [p - (j == label) for j, p in enumerate(probs)] + [0.0] * background_column
        np.testing.assert_allclose(gradient[i].numpy(), delta, rtol=1e-9, atol=1e-13)


def test_by_hand():
    """Two classes in 3/4 and 1/4 of four images: odds 3 and 1/3."""
    stats = ClassStats(2, 4, [3, 1], [3, 1])
    zeros = torch.zeros(3, 2, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2])
    # Foreground rows: p = 3/4 and 1/4. Background row: 1/2 and 1/2.
    released = BalancedSigmoidLoss(2, stats)(zeros, labels)
    expected = torch.tensor([9 / 16, 1 / 16, 1 / 4], dtype=torch.float64)
    torch.testing.assert_close(released, -expected.log(), rtol=1e-14, atol=0)
    everywhere = BalancedSigmoidLoss(2, stats, fg_only=False)(zeros, labels)
    expected[2] = 1 / 4 * 3 / 4
    torch.testing.assert_close(everywhere, -expected.log(), rtol=1e-14, atol=0)


def test_constant_by_hand():
    """Three classes: eq. 36 doubles the odds."""
    stats = ClassStats(3, 6, [2, 2, 2], [3, 2, 1])
    loss = BalancedSigmoidLoss(3, stats, add_log_k=True, count_type="instance")
    value = loss(torch.zeros(1, 3, dtype=torch.float64), torch.tensor([0]))
    # f = 1/2, 1/3, 1/6; odds 1, 1/2, 1/5; doubled 2, 1, 2/5; p = 2/3, 1/2, 2/7.
    assert value.item() == pytest.approx(-math.log(2 / 3 * 1 / 2 * 5 / 7), rel=1e-14)


def test_by_hand_with_extreme_counts():
    """A class in all ten images and one in none: half an observation away from both ends."""
    loss = BalancedSigmoidLoss(2, ClassStats(2, 10, [10, 0], [12, 0]))
    value = loss(torch.zeros(1, 2, dtype=torch.float64), torch.tensor([0]))
    assert value.item() == pytest.approx(-math.log(0.95 * 0.95), rel=1e-13)


def test_shift_at_zero_is_the_frequency(class_stats):
    """At z = 0 a foreground row predicts each class as often as it occurs."""
    for count_type, frequency in FREQUENCY.items():
        shift = BalancedSigmoidLoss(K, class_stats, count_type=count_type).shift(torch.tensor([0]))
        np.testing.assert_allclose(shift.sigmoid()[0].numpy(), frequency, rtol=1e-12)
    assert sum(FREQUENCY["instance"]) == pytest.approx(1)  # and these are probabilities ...
    assert sum(FREQUENCY["image"]) > 1  # ... while one image has several classes


@pytest.mark.parametrize("count_type", ["image", "instance"])
def test_uniform_counts_with_the_constant_are_the_plain_sigmoid(count_type):
    """One instance an image and f = 1/K: odds 1/(K-1) times K-1."""
    stats = ClassStats(K, 40, np.full(K, 10), np.full(K, 10))
    logits, labels = torch.randn(10, K).double(), torch.arange(10) % (K + 1)
    loss = BalancedSigmoidLoss(K, stats, add_log_k=True, count_type=count_type, fg_only=False)
    torch.testing.assert_close(loss(logits, labels), SigmoidLoss(K)(logits, labels))


def test_background_rows_are_plain_by_default(class_stats):
    logits, background = torch.randn(6, K).double(), torch.full((6,), K)
    balanced = BalancedSigmoidLoss(K, class_stats)(logits, background)
    assert balanced.equal(SigmoidLoss(K)(logits, background))


def test_half_of_the_images_is_the_plain_sigmoid():
    stats = ClassStats(K, 40, np.full(K, 20), np.full(K, 25))
    logits, labels = torch.randn(10, K).double(), torch.arange(10) % (K + 1)
    torch.testing.assert_close(
        BalancedSigmoidLoss(K, stats)(logits, labels), SigmoidLoss(K)(logits, labels)
    )


def test_constant_of_one_class_is_dropped():
    """log(K - 1) would be minus infinity."""
    stats = ClassStats(1, 10, [4], [9])
    logits, labels = torch.randn(4, 1).double(), torch.tensor([0, 1, 0, 1])
    with_constant = BalancedSigmoidLoss(1, stats, add_log_k=True)(logits, labels)
    assert with_constant.equal(BalancedSigmoidLoss(1, stats)(logits, labels))


def test_prediction_is_the_plain_sigmoid(class_stats):
    logits = torch.randn(7, K).double()
    probs = BalancedSigmoidLoss(K, class_stats).predict_probs(logits)
    assert probs.equal(SigmoidLoss(K).predict_probs(logits))
    assert (probs[:, K] == 0).all()


def test_initial_bias_is_the_sigmoids(class_stats):
    loss = BalancedSigmoidLoss(K, class_stats, prior_prob=0.001)
    assert loss.init_bias() == SigmoidLoss(K, prior_prob=0.001).init_bias()
