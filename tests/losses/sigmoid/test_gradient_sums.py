"""Running sums of gradients: exact, and in the checkpoint."""

import math

import torch

from lt_det.losses.sigmoid.gradient_sums import GradientSums


def test_ratio_by_hand():
    sums = GradientSums(3)
    slopes = torch.tensor([[0.5, 0.25, 0.0, 9.0], [0.25, 0.5, 0.0, 9.0]], dtype=torch.float64)
    sums.add(slopes, torch.tensor([0, 3]))
    assert sums.positive.tolist() == [0.5, 0, 0]
    assert sums.negative.tolist() == [0.25, 0.75, 0]
    assert sums.ratio(7.0).tolist() == [2, 0, 7]  # of class 2 nothing is known
    class_weights = torch.tensor([[1, 3, 1], [2, 1, 1]])
    sums.add(slopes, torch.tensor([1, 3]), class_weights=class_weights)
    assert sums.positive.tolist() == [0.5, 0.75, 0]
    assert sums.negative.tolist() == [0.25 + 2 * 0.75, 0.75 + 0.5, 0]


def test_late_summands_are_not_lost():
    """A float32 sum of 2^24 stays what it is when 1 is added."""
    sums = GradientSums(1)
    sums.negative.fill_(2.0**24)
    sums.half().add(torch.ones(1, 1), torch.tensor([1]))
    assert sums.negative.item() == 2**24 + 1


def test_a_checkpoint_of_another_loss_leaves_them_alone():
    sums = GradientSums(2)
    sums.add(torch.ones(1, 2), torch.tensor([0]))
    result = sums.load_state_dict({}, strict=False)
    assert not result.missing_keys
    assert sums.ratio(math.nan).tolist() == [1e10, 0]
