"""ACSL: negatives by score, and the background that each group sees."""

import math

import numpy as np
import pytest
import torch

from lt_det.class_stats import ClassStats
from lt_det.losses import ACSLLoss, SigmoidLoss

# Rare, common, frequent.
STATS = ClassStats(3, 1000, np.array([10, 100, 101]), np.array([10, 100, 101]))
# Probabilities 3/4, 1/2 and 3/4, of the background 3/4.
LOGITS = torch.tensor([[math.log(3), 0.0, math.log(3), math.log(3)]], dtype=torch.float64)
LOG2, LOG4, LOG4_3 = math.log(2), math.log(4), math.log(4 / 3)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (0, LOG4_3 + LOG4 + LOG4),  # class 2 and the background are above 0.7, class 1 is not
        (1, LOG2 + 3 * LOG4),
        (2, LOG4 + LOG4_3 + LOG4),
        (3, LOG4_3 + 2 * LOG4 + LOG2),  # without a mask the background is a negative of all
    ],
)
def test_by_hand(label, expected):
    value = ACSLLoss(3, STATS)(LOGITS, torch.tensor([label])).item()
    assert value == pytest.approx(expected, rel=1e-14)


def test_the_background_of_each_group():
    """Of 300 background RoIs 3 are negatives of the rare class, 30 of the common one."""
    labels = torch.tensor([0, 1, 2] + [3] * 300)
    mask = ACSLLoss(3, STATS).draw_mask(labels)
    assert mask[3:].sum(dim=0).tolist() == [3, 30, 300, 300]
    assert mask[:3].all()


def test_a_fraction_of_a_roi_is_rounded_at_random():
    """A hundredth of 250 RoIs: 2 or 3, 2.5 on average."""
    labels, loss = torch.full((250,), 3), ACSLLoss(3, STATS)
    numbers = [int(loss.draw_mask(labels)[:, 0].sum()) for _ in range(400)]
    assert set(numbers) == {2, 3}
    assert np.mean(numbers) == pytest.approx(2.5, abs=5 * 0.5 / math.sqrt(400))


def test_a_dropped_group_by_hand():
    loss, labels = ACSLLoss(3, STATS, background_shares=(0.0, 0.0, 1.0)), torch.tensor([3])
    value = loss(LOGITS, labels, loss.draw_mask(labels)).item()
    assert value == pytest.approx(LOG4_3 + LOG4, rel=1e-14)


def test_every_background_roi_is_drawn_equally_often():
    loss, labels = ACSLLoss(3, STATS, background_shares=(0.25, 1.0, 1.0)), torch.full((8,), 3)
    drawn = sum(loss.draw_mask(labels)[:, 0].double() for _ in range(1000))
    assert (drawn / 1000 - 0.25).abs().max() < 5 * math.sqrt(0.25 * 0.75 / 1000)


def test_with_a_low_score_and_all_background_it_is_the_plain_loss(class_stats):
    logits, labels = torch.randn(15, 5, dtype=torch.float64), torch.arange(15) % 5
    loss = ACSLLoss(4, class_stats, min_score=1e-9, background_shares=(1, 1, 1))
    plain = SigmoidLoss(4, objectness="train")
    assert loss(logits, labels, loss.draw_mask(labels)).equal(plain(logits, labels))
    assert loss.predict_probs(logits).equal(plain.predict_probs(logits))


def test_scores_pass_no_gradient():
    """The weight is a constant: the gradient of an element is its weight times p - t."""
    logits = LOGITS.clone().requires_grad_()
    ACSLLoss(3, STATS)(logits, torch.tensor([1])).sum().backward()
    expected = torch.tensor([[0.75, -0.5, 0.75, 0.75]], dtype=torch.float64)
    torch.testing.assert_close(logits.grad, expected)
