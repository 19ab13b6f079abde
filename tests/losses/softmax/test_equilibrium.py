"""LOCE's equilibrium loss: shifts and updates by hand, the released form, limits, ranks."""

import math

import pytest
import torch

from lt_det.losses import EquilibriumLoss, SoftmaxLoss


def with_scores(*scores, **settings):
    loss = EquilibriumLoss(len(scores), **settings)
    loss.running.mean_score.copy_(torch.tensor(scores, dtype=torch.float64))
    return loss


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        # Scores 0.04, 0.02, 0.01 over the background's 0.01: odds 4 : 2 : 1 : 1 at logits 0.
        (0, math.log(8 / 4)),
        (1, math.log(8 / 2)),
        (2, math.log(8)),
        (3, math.log(8)),
    ],
)
def test_losses_by_hand(label, expected):
    value = with_scores(0.04, 0.02, 0.01)(
        torch.zeros(1, 4, dtype=torch.float64), torch.tensor([label])
    )
    assert value.item() == pytest.approx(expected, rel=1e-12)


def test_equals_the_released_form():
    """Mean scores times exponentials, background's among them."""
    torch.manual_seed(0)
    scores = torch.rand(5, dtype=torch.float64)
    loss = with_scores(0, 0, 0, 0, background_score=float(scores[4]))
    loss.running.mean_score.copy_(scores[:4])
    logits, gt_classes = torch.randn(9, 5, dtype=torch.float64), torch.arange(9) % 5
    weighted = scores * logits.exp()
    probs = weighted / weighted.sum(dim=1, keepdim=True)
    expected = -probs[torch.arange(9), gt_classes].log()
    torch.testing.assert_close(loss(logits, gt_classes), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("per_roi", "expected"),
    [
        # Two RoIs of class 0 with probabilities 1/2 and 1/4: a mean of 3/8.
        (False, 0.8 * 0.2 + 0.2 * 0.375),
        (True, 0.64 * 0.2 + 0.36 * 0.375),
    ],
)
def test_update_by_hand(per_roi, expected):
    loss = EquilibriumLoss(2, momentum=0.8, initial_score=0.2, per_roi=per_roi)
    logits = torch.tensor([[2.0, 1, 1], [1, 2, 1], [1, 1, 1]]).log()
    loss.update_state(logits, torch.tensor([0, 0, 2]))
    assert loss.running.mean_score[0].item() == pytest.approx(expected, rel=1e-6)
    # Class 1 was not there.
    assert loss.running.mean_score[1] == 0.2


def test_scores_settle_at_what_the_classes_score():
    loss = EquilibriumLoss(2)
    logits = torch.tensor([[3.0, 0, 0], [0, 1, 0]], dtype=torch.float64)
    for _ in range(400):
        loss.update_state(logits, torch.tensor([0, 1]))
    own = logits.softmax(dim=1)[[0, 1], [0, 1]]
    torch.testing.assert_close(loss.running.mean_score, own, rtol=1e-9, atol=0)


def test_equal_scores_as_the_background_are_the_plain_loss():
    logits, gt_classes = torch.randn(9, 5, dtype=torch.float64), torch.arange(9) % 5
    assert EquilibriumLoss(4)(logits, gt_classes).equal(SoftmaxLoss(4)(logits, gt_classes))


def test_a_class_that_scores_zero_stays_possible():
    loss = with_scores(0.0, 0.5)
    value = loss(torch.zeros(1, 3), torch.tensor([0]))
    assert value.isfinite().all()


def test_ranks_together_see_what_one_process_sees(monkeypatch):
    logits, gt_classes = torch.randn(9, 5, dtype=torch.float64), torch.arange(9) % 5
    together, sums = EquilibriumLoss(4, per_roi=True), []
    together.update_state(logits, gt_classes)
    ranks = [slice(0, 3), slice(3, None)]
    name = "lt_det.losses.softmax.equilibrium.sum_over_ranks"
    monkeypatch.setattr(name, lambda t: sums.append(t) or t)
    for rows in ranks:
        EquilibriumLoss(4, per_roi=True).update_state(logits[rows], gt_classes[rows])
    monkeypatch.setattr(name, lambda t: sum(sums))
    for rows in ranks:
        loss = EquilibriumLoss(4, per_roi=True)
        loss.update_state(logits[rows], gt_classes[rows])
        torch.testing.assert_close(loss.running.mean_score, together.running.mean_score)
