"""SoftmaxLoss: PyTorch's cross-entropy, row by row."""

import math

import pytest
import torch
import torch.nn.functional as F

from lt_det.losses import SoftmaxLoss


@pytest.fixture
def case():
    return torch.randn(9, 5, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 4, 4, 0, 2, 4])


def test_is_cross_entropy(case):
    logits, gt_classes = case
    loss = SoftmaxLoss(4)(logits, gt_classes)
    assert loss.equal(F.cross_entropy(logits, gt_classes, reduction="none"))
    assert SoftmaxLoss(4).num_logits == 5
    assert SoftmaxLoss(4).init_bias() == 0


def test_by_hand():
    logits = torch.tensor([[math.log(2), math.log(5), 0.0]], dtype=torch.float64)
    loss = SoftmaxLoss(2)
    for label, probability in enumerate((2 / 8, 5 / 8, 1 / 8)):
        value = loss(logits, torch.tensor([label])).item()
        assert value == pytest.approx(-math.log(probability), rel=1e-14)
    torch.testing.assert_close(loss.predict_probs(logits), torch.tensor([[2, 5, 1]]).double() / 8)


def test_uniform_logits_cost_log_of_the_number_of_columns():
    loss = SoftmaxLoss(4)(torch.full((3, 5), 7.0).double(), torch.tensor([0, 2, 4]))
    torch.testing.assert_close(loss, torch.full((3,), math.log(5)).double())


def test_gradient_is_probability_minus_one_hot(case):
    logits, gt_classes = case
    logits.requires_grad_()
    SoftmaxLoss(4)(logits, gt_classes).sum().backward()
    one_hot = torch.eye(5, dtype=torch.float64)[gt_classes]
    expected = logits.detach().exp() / logits.detach().exp().sum(1, keepdim=True) - one_hot
    torch.testing.assert_close(logits.grad, expected, rtol=1e-12, atol=1e-12)


def test_mask_weighs_the_denominator(case):
    logits, gt_classes = case
    mask = torch.rand(9, 5, dtype=torch.float64) + 0.1
    mask[range(9), gt_classes] = 1
    loss = SoftmaxLoss(4)(logits, gt_classes, mask)
    for i in range(9):
        weighted = sum(mask[i, j] * logits[i, j].exp() for j in range(5))
        assert loss[i].item() == pytest.approx(
            -math.log(logits[i, gt_classes[i]].exp() / weighted), rel=1e-12
        )


def test_masked_class_has_no_loss_and_no_gradient(case):
    logits, _ = case
    logits.requires_grad_()
    mask = torch.ones(9, 5)
    mask[:, 1] = 0
    loss = SoftmaxLoss(4)(logits, torch.full((9,), 4), mask)
    kept = [0, 2, 3, 4]
    torch.testing.assert_close(
        loss, F.cross_entropy(logits[:, kept], torch.full((9,), 3), reduction="none")
    )
    loss.sum().backward()
    assert (logits.grad[:, 1] == 0).all()
    assert logits.grad.isfinite().all()
