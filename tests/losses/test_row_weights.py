"""What all schemes of row weights share: the weighted mean, over ranks too, and the schedule."""

import copy

import pytest
import torch
import torch.nn.functional as F

from lt_det.losses import ClassBalancedSoftmaxLoss, ReweightedSoftmaxLoss, SoftmaxLoss

K = 4
every_scheme = pytest.mark.parametrize("cls", [ClassBalancedSoftmaxLoss, ReweightedSoftmaxLoss])


def case(loss):
    torch.manual_seed(0)
    logits = torch.randn(9, loss.num_logits, dtype=torch.float64)
    return logits, torch.tensor([0, 1, 2, 3, 4, 4, 0, 2, 4])


def test_weighted_mean_is_torchs(class_stats):
    """The predictor divides the sum by R."""
    loss = ReweightedSoftmaxLoss(K, class_stats, weighted_mean=True)
    logits, gt_classes = case(loss)
    weights = F.pad(loss.class_weights(), (0, 1), value=1)
    expected = F.cross_entropy(logits, gt_classes, weights)
    torch.testing.assert_close(loss(logits, gt_classes).mean(), expected, rtol=1e-12, atol=0)


def test_weighted_mean_is_over_all_ranks(class_stats, monkeypatch):
    """Each rank's part, with the sums of both, is what one process has."""
    loss = ReweightedSoftmaxLoss(K, class_stats, weighted_mean=True)
    logits, gt_classes = case(loss)
    together, sums = loss(logits, gt_classes), []
    ranks = [slice(0, 4), slice(4, None)]
    monkeypatch.setattr("lt_det.losses.row_weights.sum_over_ranks", lambda t: sums.append(t) or t)
    for rows in ranks:
        loss(logits[rows], gt_classes[rows])
    monkeypatch.setattr("lt_det.losses.row_weights.sum_over_ranks", lambda t: sum(sums))
    parts = [loss(logits[rows], gt_classes[rows]) for rows in ranks]
    torch.testing.assert_close(torch.cat(parts), together, rtol=1e-12, atol=0)


# --- deferred re-weighting ---------------------------------------------------------------------


@every_scheme
def test_weights_start_at_their_step(cls, class_stats):
    deferred, weighted = cls(K, class_stats, start_step=3), cls(K, class_stats)
    logits, gt_classes = case(deferred)
    plain = SoftmaxLoss(K)(logits, gt_classes)
    assert not torch.allclose(weighted(logits, gt_classes), plain)
    for step in range(6):
        expected = plain if step < 3 else weighted(logits, gt_classes)
        assert deferred(logits, gt_classes).equal(expected), step
        deferred.update_state(logits, gt_classes)


@every_scheme
def test_a_resume_goes_on_with_the_schedule(cls, class_stats):
    deferred = cls(K, class_stats, start_step=2)
    logits, gt_classes = case(deferred)
    deferred.update_state(logits, gt_classes)
    resumed = cls(K, class_stats, start_step=2)
    resumed.load_state_dict(copy.deepcopy(deferred.state_dict()))
    for loss in (deferred, resumed):
        assert loss(logits, gt_classes).equal(SoftmaxLoss(K)(logits, gt_classes))
        loss.update_state(logits, gt_classes)
    assert resumed(logits, gt_classes).equal(cls(K, class_stats)(logits, gt_classes))


def test_an_older_checkpoint_starts_the_schedule_without_a_complaint(class_stats):
    loss = ReweightedSoftmaxLoss(K, class_stats, start_step=2)
    older = {k: v for k, v in loss.state_dict().items() if "schedule" not in k}
    assert not loss.load_state_dict(older).missing_keys
    assert loss.schedule.steps == 0


def test_a_deferred_weighted_mean_is_the_plain_mean_before(class_stats):
    loss = ReweightedSoftmaxLoss(K, class_stats, weighted_mean=True, start_step=1)
    logits, gt_classes = case(loss)
    assert loss(logits, gt_classes).equal(SoftmaxLoss(K)(logits, gt_classes))
    loss.update_state(logits, gt_classes)
    expected = F.cross_entropy(logits, gt_classes, F.pad(loss.class_weights(), (0, 1), value=1))
    torch.testing.assert_close(loss(logits, gt_classes).mean(), expected, rtol=1e-12, atol=0)
