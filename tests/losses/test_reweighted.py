"""Generalised re-weighting: weights by hand, their two norms, the plain losses as its limit."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lt_det.class_stats import ClassStats
from lt_det.losses import (
    ReweightedSigmoidLoss,
    ReweightedSoftmaxLoss,
    SigmoidLoss,
    SoftmaxLoss,
)

K = 4
PAIRS = [(ReweightedSoftmaxLoss, SoftmaxLoss), (ReweightedSigmoidLoss, SigmoidLoss)]
every_pair = pytest.mark.parametrize(("cls", "plain"), PAIRS)


def case(loss):
    torch.manual_seed(0)
    logits = torch.randn(9, loss.num_logits, dtype=torch.float64)
    return logits, torch.tensor([0, 1, 2, 3, 4, 4, 0, 2, 4])


@pytest.mark.parametrize(
    ("rho", "norm", "expected"),
    [
        # Counts 900, 90, 9, 1 of 1,000.
        (0.0, "class", [1, 1, 1, 1]),
        (1.0, "class", [4 * w / (1 + 10 + 100 + 900) for w in (1, 10, 100, 900)]),
        (1.0, "sample", [1 / 4 / q for q in (0.9, 0.09, 0.009, 0.001)]),
        (0.5, "class", [4 * w / (1 + 10**0.5 + 10 + 30) for w in (1, 10**0.5, 10, 30)]),
    ],
)
def test_weights_by_hand(rho, norm, expected):
    counts = np.array([900, 90, 9, 1])
    loss = ReweightedSoftmaxLoss(K, ClassStats(K, 1000, counts, counts), rho=rho, norm=norm)
    torch.testing.assert_close(
        loss.class_weights(), torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("rho", [0.0, 0.8, 1.2])
@pytest.mark.parametrize("count_type", ["instance", "image"])
def test_what_the_norms_keep(rho, count_type, class_stats):
    count = torch.from_numpy(class_stats.count(count_type))
    kept = {}
    for norm in ("class", "sample"):
        loss = ReweightedSoftmaxLoss(K, class_stats, rho=rho, norm=norm, count_type=count_type)
        kept[norm] = loss.class_weights()
    assert kept["class"].sum().item() == pytest.approx(K, rel=1e-12)
    assert (count / count.sum() * kept["sample"]).sum().item() == pytest.approx(1, rel=1e-12)
    ratio = kept["class"] / kept["sample"]
    torch.testing.assert_close(ratio, ratio[0].expand(K))


def test_an_average_foreground_roi_of_a_long_tail_weighs_little():
    """Why `norm` exists: the class norm leaves the loss to the background's weight of 1."""
    counts = np.array([10_000, 100, 10, 1])
    loss = ReweightedSoftmaxLoss(K, ClassStats(K, 10_000, counts, counts))
    share = torch.from_numpy(counts / counts.sum())
    assert (share * loss.class_weights()).sum() < 0.01


@every_pair
def test_rows_are_the_plain_losses_times_their_weights(cls, plain, class_stats):
    loss = cls(K, class_stats)
    logits, gt_classes = case(loss)
    actual, unweighted = loss(logits, gt_classes), plain(K)(logits, gt_classes)
    q = class_stats.instance_count / class_stats.instance_count.sum()
    inverse = [p**-0.8 for p in q]
    for i, label in enumerate(gt_classes.tolist()):
        weight = 1 if label == K else K * inverse[label] / sum(inverse)
        assert actual[i].item() == pytest.approx(weight * unweighted[i].item(), rel=1e-12)


@every_pair
def test_without_strength_it_is_the_plain_loss(cls, plain, class_stats):
    loss = cls(K, class_stats, rho=0.0)
    logits, gt_classes = case(loss)
    assert loss(logits, gt_classes).equal(plain(K)(logits, gt_classes))
    assert loss.predict_probs(logits).equal(plain(K).predict_probs(logits))


@every_pair
def test_background_alone_is_the_plain_loss(cls, plain, class_stats):
    for weighted_mean in (False, True):
        loss = cls(K, class_stats, weighted_mean=weighted_mean)
        logits, _ = case(loss)
        background = torch.full((9,), K)
        assert loss(logits, background).equal(plain(K)(logits, background))


def test_gradient_by_hand(class_stats):
    loss = ReweightedSoftmaxLoss(K, class_stats, rho=1.2, norm="sample")
    logits, gt_classes = case(loss)
    logits.requires_grad_()
    loss(logits, gt_classes).sum().backward()
    weights = F.pad(loss.class_weights(), (0, 1), value=1)[gt_classes]
    delta = logits.detach().softmax(1) - F.one_hot(gt_classes, K + 1)
    torch.testing.assert_close(logits.grad, weights.unsqueeze(1) * delta, rtol=1e-12, atol=1e-14)
