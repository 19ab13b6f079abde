"""Seesaw loss: by hand, the released form in a loop, gradients, limits, counts."""

import math

import pytest
import torch
import torch.nn.functional as F

from lt_det.losses import SeesawLoss

K = 3
LOG2 = math.log(2)


def with_counts(*counts, **settings):
    loss = SeesawLoss(len(counts), **settings)
    loss.running.count.copy_(torch.tensor(counts))
    return loss


def value_of(loss, logits, label):
    return loss(torch.tensor([logits], dtype=torch.float64), torch.tensor([label])).item()


@pytest.mark.parametrize(
    ("label", "settings", "logits", "expected"),
    [
        # Counts 100, 10, 1; background and foreground logits 0, a loss of log 2.
        # Mitigation alone: from class 0 the others count 10^-0.8 and 100^-0.8.
        (0, {"compensation": 0.0}, [0, 0, 0], math.log(1 + 10**-0.8 + 100**-0.8)),
        (1, {"compensation": 0.0}, [0, 0, 0], math.log(1 + 1 + 10**-0.8)),
        # The rarest is spared nobody.
        (2, {"compensation": 0.0}, [0, 0, 0], math.log(3)),
        # Compensation alone: class 1 is twice as likely as label 0, a weight of 2^2.
        (0, {"mitigation": 0.0}, [0, LOG2, 0], math.log(1 + 2 * 4 + 1)),
        # Label 0 at 1/1002 is taken for 1/100: ratios of 1000/1002 * 100, squared.
        (
            0,
            {"mitigation": 0.0},
            [0, math.log(1000), 0],
            math.log(1 + 1000 * (1e5 / 1002) ** 2 + 1),
        ),
        # Both: 10^-0.8 * 2^2.
        (0, {}, [0, LOG2, 0], math.log(1 + 2 * 4 * 10**-0.8 + 100**-0.8)),
    ],
)
def test_losses_by_hand(label, settings, logits, expected):
    loss = with_counts(100, 10, 1, **settings)
    assert value_of(loss, [*logits, 0, 0], label) == pytest.approx(expected + LOG2, rel=1e-12)


def test_background_has_the_objectness_loss_alone():
    loss = with_counts(100, 10, 1)
    assert value_of(loss, [5, -3, 2, math.log(3), 0], 3) == pytest.approx(math.log(4 / 3))
    assert value_of(loss, [0, -99, -99, math.log(3), 0], 0) == pytest.approx(math.log(4))


def released(loss, logits, gt_classes):
    """Weights of the denominator as ratios of counts and probabilities, RoI by RoI."""
    count = loss.running.count.clamp(min=1).tolist()
    values = []
    for row, label in zip(logits, gt_classes.tolist(), strict=True):
        two = row[K:].softmax(dim=0)
        value = -(two[1] if label < K else two[0]).log()
        if label < K:
            probs = row[:K].detach().softmax(dim=0)
            denominator = 0
            for j in range(K):
                weight = 1.0
                if j != label:
                    ratio = count[j] / count[label]
                    weight *= ratio**loss.mitigation if ratio < 1 else 1
                    ratio = probs[j] / max(probs[label].item(), loss.min_prob)
                    weight *= ratio**loss.compensation if ratio > 1 else 1
                denominator = denominator + weight * row[j].exp()
            value = value - (row[label].exp() / denominator).log()
        values.append(value)
    return torch.stack(values)


@pytest.mark.parametrize("settings", [{}, {"mitigation": 0.3, "compensation": 1, "min_prob": 0.2}])
def test_value_and_gradient_equal_the_released_form(settings):
    """The probabilities in the weights have no gradient."""
    torch.manual_seed(0)
    loss = with_counts(500, 0, 20, **settings)
    logits = 2 * torch.randn(16, K + 2, dtype=torch.float64, requires_grad=True)
    gt_classes = torch.arange(16) % (K + 1)
    actual, expected = loss(logits, gt_classes), released(loss, logits, gt_classes)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-14)
    gradients = [
        torch.autograd.grad(v.sum(), logits, retain_graph=True)[0] for v in (actual, expected)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-14)


def test_gradient_is_softmax_minus_one_hot_of_the_shifted_logits():
    loss = with_counts(500, 0, 20)
    logits = torch.randn(8, K + 2, dtype=torch.float64, requires_grad=True)
    gt_classes = torch.arange(8) % K
    loss(logits, gt_classes).sum().backward()
    classes = logits.detach()[:, :K]
    u = classes + loss.shift(classes, gt_classes)
    torch.testing.assert_close(logits.grad[:, :K], u.softmax(1) - F.one_hot(gt_classes, K))


def test_without_both_factors_it_is_two_softmaxes():
    loss = with_counts(500, 3, 20, mitigation=0.0, compensation=0.0)
    logits, gt_classes = torch.randn(9, K + 2, dtype=torch.float64), torch.arange(9) % K
    expected = F.cross_entropy(logits[:, :K], gt_classes, reduction="none")
    expected = expected + F.cross_entropy(
        logits[:, K:], torch.ones(9, dtype=torch.long), reduction="none"
    )
    torch.testing.assert_close(loss(logits, gt_classes), expected, rtol=1e-12, atol=0)
    assert with_counts(9, 9, 1).plain()(logits, gt_classes).equal(loss(logits, gt_classes))


def test_probabilities_by_hand():
    logits = torch.tensor([[1.0, 2, 5, 1, 3]], dtype=torch.float64).log()
    expected = torch.tensor([[1 / 8 * 3 / 4, 2 / 8 * 3 / 4, 5 / 8 * 3 / 4, 1 / 4]]).double()
    torch.testing.assert_close(SeesawLoss(K).predict_probs(logits), expected)


def test_counts_are_of_all_rois_so_far():
    loss = SeesawLoss(K)
    for labels in ([0, 0, 3], [2, 0, 3], []):
        gt_classes = torch.tensor(labels, dtype=torch.long)
        loss.update_state(torch.zeros(len(labels), K + 2), gt_classes)
    assert loss.running.count.tolist() == [3, 0, 1]
