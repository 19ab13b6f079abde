"""Softmax equalization loss: by hand, the draw's law, its limits."""

import math

import numpy as np
import pytest
import torch

from lt_det.class_stats import ClassStats
from lt_det.losses import SoftmaxEQLLoss, SoftmaxLoss

# Class 2 is the tail: in 1 of 100 pictures, 2 of 100 instances.
STATS = ClassStats(3, 100, np.array([60.0, 30.0, 1.0]), np.array([68.0, 30.0, 2.0]))


def masked(gt_classes, seed=0, **settings):
    loss = SoftmaxEQLLoss(3, STATS, **{"threshold": 0.015, "drop_rate": 1.0, **settings})
    torch.manual_seed(seed)
    return loss, loss.draw_mask(gt_classes)


@pytest.mark.parametrize(
    ("label", "settings", "expected"),
    [
        # Logits log 1, 2, 4, 8: a denominator of 15, or 11 without the tail's 4.
        (0, {}, math.log(11)),
        (1, {}, math.log(11 / 2)),
        (2, {}, math.log(15 / 4)),  # its own label is never left out
        (3, {}, math.log(15 / 8)),  # background sees all
        (3, {"fg_only": False}, math.log(11 / 8)),
        (0, {"count_type": "instance"}, math.log(15)),  # 0.02 is no tail
        (0, {"threshold": 0.35}, math.log(9)),  # class 1 is left out too
    ],
)
def test_losses_by_hand(label, settings, expected):
    gt_classes = torch.tensor([label])
    loss, mask = masked(gt_classes, **settings)
    logits = torch.tensor([[1.0, 2.0, 4.0, 8.0]], dtype=torch.float64).log()
    assert loss(logits, gt_classes, mask).item() == pytest.approx(expected, rel=1e-12)


def test_a_tail_class_left_out_has_no_gradient():
    gt_classes = torch.tensor([0, 1, 2, 3])
    loss, mask = masked(gt_classes)
    logits = torch.randn(4, 4, dtype=torch.float64, requires_grad=True)
    loss(logits, gt_classes, mask).sum().backward()
    assert (logits.grad[:2, 2] == 0).all()
    assert (logits.grad[2:, 2] != 0).all()


def test_the_draw_keeps_a_share_of_one_minus_gamma():
    """Independent of RoI and class: of 40,000 draws a mean of 0.3 within 5 standard deviations."""
    gt_classes = torch.zeros(20_000, dtype=torch.long)
    _, mask = masked(gt_classes, threshold=0.35, drop_rate=0.7)
    assert mask[:, [0, 3]].all()
    drawn = mask[:, 1:3].double()
    assert drawn.mean().item() == pytest.approx(0.3, abs=5 * math.sqrt(0.21 / 40_000))
    both = (drawn[:, 0] * drawn[:, 1]).mean().item()
    assert both == pytest.approx(0.09, abs=5 * math.sqrt(0.09 * 0.91 / 20_000))


@pytest.mark.parametrize("settings", [{"threshold": 0.0}, {"drop_rate": 0.0}])
def test_without_a_tail_or_a_draw_it_is_the_plain_loss(settings):
    gt_classes = torch.arange(8) % 4
    loss, mask = masked(gt_classes, **settings)
    logits = torch.randn(8, 4, dtype=torch.float64)
    assert loss(logits, gt_classes, mask).equal(SoftmaxLoss(3)(logits, gt_classes))


def test_left_out_entirely_is_a_softmax_over_the_rest():
    """With gamma = 1 the head's RoIs do not know that there is a tail."""
    gt_classes = torch.tensor([0, 1, 0])
    loss, mask = masked(gt_classes)
    logits = torch.randn(3, 4, dtype=torch.float64)
    rest = SoftmaxLoss(2)(logits[:, [0, 1, 3]], gt_classes)
    torch.testing.assert_close(loss(logits, gt_classes, mask), rest, rtol=1e-12, atol=0)
