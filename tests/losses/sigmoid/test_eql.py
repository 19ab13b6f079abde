"""Equalization loss: which negatives are left out."""

import math

import numpy as np
import pytest
import torch

from lt_det.class_stats import ClassStats
from lt_det.losses import EQLLoss, SigmoidLoss

# Shares of images 0.5 and 0.001: the second class is a tail class.
STATS = ClassStats(2, 1000, np.array([500, 1]), np.array([500, 1]))
# Probabilities 3/4 and 1/2.
LOGITS = torch.tensor([[math.log(3), 0.0]], dtype=torch.float64)
LOG2, LOG4 = math.log(2), math.log(4)


def of(loss, label, logits=LOGITS):
    return loss(logits, torch.tensor([label])).item()


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (0, math.log(4 / 3)),  # no negative of the tail class
        (1, LOG2 + LOG4),  # a negative of the frequent one, as ever
        (2, LOG4 + LOG2),  # background: a negative of both
    ],
)
def test_by_hand(label, expected):
    assert of(EQLLoss(2, STATS), label) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (0, 1 / 3),  # -log p = exp(-u)
        (1, 1 - math.log(1 - math.exp(-1 / 3))),
        (2, -math.log(1 - math.exp(-1 / 3)) - math.log(1 - math.exp(-1))),
    ],
)
def test_by_hand_with_the_gumbel_link(label, expected):
    """GOL's host: p = exp(-1/3) and 1/e at logits log 3 and 0."""
    assert of(EQLLoss(2, STATS, link="gumbel"), label) == pytest.approx(expected, rel=1e-13)


def test_the_background_column_always_counts():
    logits = torch.tensor([[math.log(3), 0.0, math.log(3)]], dtype=torch.float64)
    loss = EQLLoss(2, STATS, objectness="train")
    assert of(loss, 0, logits) == pytest.approx(math.log(4 / 3) + LOG4, rel=1e-14)
    assert of(loss, 2, logits) == pytest.approx(LOG4 + LOG2 + math.log(4 / 3), rel=1e-14)


def test_tail_classes_are_rarer_than_lambda(class_stats):
    """Shares of images 0.9, 0.3, 0.055, 0.01."""
    assert EQLLoss(4, class_stats, threshold=0.055).tail_classes().tolist() == [
        *(False, False, False, True)
    ]
    tail = EQLLoss(4, class_stats, threshold=0.06).tail_classes()
    assert tail.tolist() == [False, False, True, True]


def test_without_tail_classes_it_is_the_plain_loss(class_stats):
    logits, labels = torch.randn(15, 4, dtype=torch.float64), torch.arange(15) % 5
    loss = EQLLoss(4, class_stats, threshold=0.0)
    assert loss(logits, labels).equal(SigmoidLoss(4)(logits, labels))


def test_the_plain_loss_of_background_whatever_the_tail(class_stats):
    logits, labels = torch.randn(5, 4, dtype=torch.float64), torch.full((5,), 4)
    loss = EQLLoss(4, class_stats, threshold=1.0)
    assert loss(logits, labels).equal(SigmoidLoss(4)(logits, labels))


def test_known_negatives_are_kept_if_asked_for():
    """Two foreground RoIs of class 0; the first one's picture is known to lack class 1."""
    loss, labels = EQLLoss(2, STATS, keep_known_negatives=True), torch.tensor([0, 0])
    mask = loss.draw_mask(labels, torch.tensor([[True, True], [True, False]]))
    actual = loss(LOGITS.expand(2, 2), labels, mask).tolist()
    assert actual == pytest.approx([math.log(4 / 3) + LOG2, math.log(4 / 3)], rel=1e-14)


def test_lists_that_are_not_known_are_asked_for():
    with pytest.raises(ValueError, match=r"EQLLoss.*`keep_known_negatives`.*read_known_negatives"):
        EQLLoss(2, STATS, keep_known_negatives=True).draw_mask(torch.tensor([0]))
