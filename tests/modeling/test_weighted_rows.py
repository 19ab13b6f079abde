"""The box predictor on rows of a weight: what it logs and what reaches its classifier."""

import pytest
import torch
from toy_predictor import K, predictor_of

from lt_det.engine.gradient_ratio import gradient_sums
from lt_det.losses import (
    BalancedGroupSoftmaxLoss,
    EQLv2Loss,
    ReweightedSoftmaxLoss,
    SigmoidLoss,
    SoftmaxLoss,
)
from lt_det.losses.weighted_rows import mean_over_rows

LABELS = torch.tensor([0, 4, 1, 4, 2, 3, 4])
COPIES = torch.tensor([1, 3, 2, 5, 0, 1, 2])
ROWS = torch.arange(len(LABELS)).repeat_interleave(COPIES)
every_layout = pytest.mark.parametrize("loss_class", [SoftmaxLoss, SigmoidLoss, EQLv2Loss])


def logged(loss, logits, labels, weights, event_storage):
    predictor_of(loss).classification_loss(logits, labels, weights)
    return {name: value for name, (value, _) in event_storage.latest().items()}


@pytest.mark.parametrize("loss_class", [SoftmaxLoss, SigmoidLoss, BalancedGroupSoftmaxLoss])
def test_accuracy_of_weights_is_that_of_copies(loss_class, class_stats, event_storage):
    loss = loss_class(K, class_stats)
    logits = torch.randn(len(LABELS), loss.num_logits)
    weighted = logged(loss, logits, LABELS, COPIES.float(), event_storage)
    copied = logged(loss, logits[ROWS], LABELS[ROWS], None, event_storage)
    assert weighted == pytest.approx(copied)


def test_accuracy_of_no_weight_is_not_logged(event_storage):
    logits = torch.randn(len(LABELS), K + 1)
    assert not logged(SoftmaxLoss(K), logits, LABELS, torch.zeros(len(LABELS)), event_storage)


@every_layout
def test_the_gradient_ratio_of_weights_is_that_of_copies(loss_class, class_stats, event_storage):
    """The sums of the classes' gradients, as SOLVER.GRADIENT_RATIO adds them up."""
    sums = []
    logits = torch.randn(len(LABELS), loss_class(K).num_logits, dtype=torch.float64)
    for rows, weights in ((slice(None), COPIES.double()), (ROWS, None)):
        z = logits[rows].clone().requires_grad_()
        loss = predictor_of(loss_class(K, class_stats)).double()
        loss.classification_loss(z, LABELS[rows], weights).backward()
        sums.append(gradient_sums(z.grad, LABELS[rows], K))
    torch.testing.assert_close(*sums, rtol=1e-12, atol=0)
    assert (sums[0] > 0).any()


def test_the_loss_of_weights_below_one_is_their_mean(event_storage):
    """The sum of the weights is far below 1, and no RoI is lost in the division."""
    logits = torch.randn(len(LABELS), K + 1)
    predictor = predictor_of(SoftmaxLoss(K))
    weights = torch.rand(len(LABELS))
    expected = predictor.classification_loss(logits, LABELS, weights)
    small = predictor.classification_loss(logits, LABELS, 1e-6 * weights)
    torch.testing.assert_close(small, expected)


def test_a_weighted_mean_counts_what_rows_stand_for(class_stats, event_storage):
    """PyTorch's own weighted mean over the copies."""
    loss = ReweightedSoftmaxLoss(K, class_stats, weighted_mean=True)
    logits = torch.randn(len(LABELS), K + 1, dtype=torch.float64)
    value = predictor_of(loss).classification_loss(logits, LABELS, COPIES.double())
    class_weights = torch.cat([loss.class_weights(), torch.ones(1)])
    expected = torch.nn.functional.cross_entropy(logits[ROWS], LABELS[ROWS], class_weights)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("weights", [None, torch.zeros(0)])
def test_the_mean_without_rows_is_zero_with_a_gradient(weights):
    values = torch.zeros(0, requires_grad=True)
    mean = mean_over_rows(values, weights)
    mean.backward()
    assert mean == 0
