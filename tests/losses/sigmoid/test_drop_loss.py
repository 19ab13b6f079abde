"""DropLoss: the background's negatives of tail classes."""

import math

import numpy as np
import pytest
import torch

from lt_det.class_stats import ClassStats
from lt_det.losses import DropLoss, EQLLoss

# The second class is a tail class.
STATS = ClassStats(2, 1000, np.array([500, 1]), np.array([500, 1]))
# Probabilities 3/4 and 1/2.
LOGITS = torch.tensor([[math.log(3), 0.0]], dtype=torch.float64)
LOG2, LOG4 = math.log(2), math.log(4)


@pytest.mark.parametrize(
    ("labels", "background"),
    [
        ([0, 2], LOG4),  # no tail class in the foreground: all of its negatives are dropped
        ([1, 2], LOG4 + LOG2),  # nothing else: none is
        ([2, 2], LOG4 + LOG2),  # no foreground at all: none is
    ],
)
def test_by_hand(labels, background):
    loss, labels = DropLoss(2, STATS), torch.tensor(labels)
    value = loss(LOGITS.expand(2, 2), labels, loss.draw_mask(labels))
    assert value[1].item() == pytest.approx(background, rel=1e-14)


def test_the_share_of_the_tail_is_the_chance_of_being_kept():
    """Three foreground RoIs in four are of the tail class."""
    labels = torch.tensor([0, 1, 1, 1] + [2] * 4000)
    mask = DropLoss(2, STATS).draw_mask(labels)
    kept = mask[4:, 1].double().mean().item()
    assert kept == pytest.approx(0.75, abs=5 * math.sqrt(0.75 * 0.25 / 4000))
    assert mask[:4].all()
    assert mask[:, 0].all()


def test_elements_are_drawn_independently():
    stats = ClassStats(3, 1000, np.array([500, 1, 1]), np.array([500, 1, 1]))
    labels = torch.tensor([0, 1] + [3] * 4000)
    mask = DropLoss(3, stats).draw_mask(labels)[2:]
    both = (mask[:, 1] & mask[:, 2]).double().mean().item()
    assert both == pytest.approx(0.25, abs=5 * math.sqrt(0.25 * 0.75 / 4000))


def test_foreground_is_that_of_eql(class_stats):
    logits, labels = torch.randn(20, 4, dtype=torch.float64), torch.arange(20) % 5
    loss = DropLoss(4, class_stats, threshold=0.1)
    expected = EQLLoss(4, class_stats, threshold=0.1)(logits, labels)
    actual = loss(logits, labels, loss.draw_mask(labels))
    assert actual[labels < 4].equal(expected[labels < 4])
    assert loss(logits, labels).equal(expected)  # without a mask all of it


def test_gol_by_hand():
    """The Gumbel link: p = exp(-1/3) and 1/e."""
    loss, labels = DropLoss(2, STATS, link="gumbel"), torch.tensor([0, 2])
    value = loss(LOGITS.expand(2, 2), labels, loss.draw_mask(labels)).tolist()
    assert value == pytest.approx([1 / 3, -math.log(1 - math.exp(-1 / 3))], rel=1e-13)


def test_with_objectness_the_last_column_is_never_dropped():
    loss, labels = DropLoss(2, STATS, objectness="train"), torch.tensor([0, 2, 2])
    assert loss.draw_mask(labels).tolist() == [[True] * 3, [True, False, True], [True, False, True]]
