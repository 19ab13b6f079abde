"""Effective class-margin loss."""

import math

import numpy as np
import pytest
import torch

from lt_det.class_stats import ClassStats
from lt_det.losses import ECMLoss

# With a background of 4, classes are 1, 3 and 4 of 8: odds against 7, 5/3 and 1.
STATS = ClassStats(2, 100, np.array([1, 3]), np.array([2, 2]))
ODDS = (7, 5 / 3, 1)
LOGITS = torch.tensor([[0.3, -0.2, 0.1]], dtype=torch.float64)


def column(j, positive):
    """The margin on the odds p : 1 - p is a^(-1/4), on both z and -z."""
    odds = math.exp(2 * LOGITS[0, j].item()) * ODDS[j] ** -0.25
    p = odds / (1 + odds)
    weight = ODDS[j] * math.log((1 + ODDS[j]) / ODDS[j])
    return -weight * math.log(p if positive else 1 - p)


@pytest.mark.parametrize("label", [0, 1, 2])
def test_by_hand(label):
    expected = sum(column(j, j == label) for j in range(3))
    value = ECMLoss(2, STATS, background_ratio=1.0)(LOGITS, torch.tensor([label])).item()
    assert value == pytest.approx(expected, rel=1e-13)


def test_balanced_by_hand():
    """One class and as much background: no margin, and log 2 times the loss of 2 z."""
    stats = ClassStats(1, 100, np.array([50]), np.array([50]))
    logits = torch.tensor([[math.log(3) / 2, 0.0]], dtype=torch.float64)
    loss = ECMLoss(1, stats, background_ratio=1.0)
    for label, p in ((0, 3 / 4), (1, 1 / 4)):
        value = loss(logits, torch.tensor([label])).item()
        assert value == pytest.approx(math.log(2) * (math.log(2) - math.log(p)), rel=1e-13)


def test_weights_of_rare_classes_tend_to_one(class_stats):
    weight = ECMLoss(4, class_stats).element_weight(torch.zeros(1, 5).double(), None, None)[0]
    assert (weight[:4].diff() > 0).all()  # counts 180, 60, 11, 2
    assert 0.99 < weight[3] < 1
    a = 1 / 6.3313
    assert weight[4].item() == pytest.approx(a * math.log(1 + 1 / a), rel=1e-12)


def test_released_exponentials(class_stats):
    """Two weighted exponentials and their share, one element at a time."""
    count = [*class_stats.image_count, 6.3313 * class_stats.image_count.sum()]
    logits, labels = torch.randn(10, 5, dtype=torch.float64), torch.arange(10) % 5
    expected = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        total = 0.0
        for j, z in enumerate(row):
            roots = count[j] ** 0.25, (sum(count) - count[j]) ** 0.25
            up = math.exp(z) * sum(roots) / roots[1]
            down = math.exp(-z) * sum(roots) / roots[0]
            a = (sum(count) - count[j]) / count[j]
            share = (up if j == label else down) / (up + down)
            total -= a * math.log((1 + a) / a) * math.log(share)
        expected.append(total)
    actual = ECMLoss(4, class_stats)(logits, labels)
    assert actual.tolist() == pytest.approx(expected, rel=1e-12)


def test_at_test_there_is_no_margin_and_no_factor(class_stats):
    probs = ECMLoss(4, class_stats).predict_probs(torch.zeros(1, 5, dtype=torch.float64))
    assert probs.tolist() == [[0.25, 0.25, 0.25, 0.25, 0.5]]
