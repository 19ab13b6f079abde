"""LDAM: margins by hand, the released form written out, its limits, DRW."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lt_det.class_stats import ClassStats
from lt_det.losses import LDAMLoss, SoftmaxLoss
from lt_det.modeling.classifiers.base import CosineClassifier

# Fourth roots 10, 2 and 1.
COUNTS = np.array([10_000.0, 16.0, 1.0])
STATS = ClassStats(3, 20_000, COUNTS, COUNTS)


def test_margins_by_hand():
    expected = torch.tensor([0.05, 0.25, 0.5], dtype=torch.float64)
    torch.testing.assert_close(LDAMLoss(3, STATS).margins(), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("label", "scale", "logits", "expected"),
    [
        # The label's logit is lowered by scale * Delta; all others are 0.
        (2, 2.0, [0, 0, 0, 0], math.log(3 + math.exp(-1)) + 1),
        (1, 4.0, [0, math.log(5), 0, 0], math.log(3 + 5 / math.e) + 1 - math.log(5)),
        (0, 20.0, [1, 0, 0, 0], math.log(1 + 3)),
        # Background has no margin.
        (3, 30.0, [0, 0, 0, math.log(2)], math.log(5) - math.log(2)),
    ],
)
def test_losses_by_hand(label, scale, logits, expected):
    loss = LDAMLoss(3, STATS, scale=scale)
    value = loss(torch.tensor([logits], dtype=torch.float64), torch.tensor([label]))
    assert value.item() == pytest.approx(expected, rel=1e-12)


def test_equals_the_released_form():
    """Margins are taken from cosines, which are then scaled; their scale is the classifier's."""
    torch.manual_seed(0)
    classifier = CosineClassifier(6, 4, scale=30.0).double()
    features = torch.randn(8, 6, dtype=torch.float64)
    gt_classes = torch.tensor([0, 1, 2, 3, 3, 2, 1, 0])
    cosine = F.normalize(features) @ F.normalize(classifier.weight).T
    margin = torch.tensor([0.05, 0.25, 0.5, 0.0], dtype=torch.float64)
    is_label = F.one_hot(gt_classes, 4).bool()
    cosine = torch.where(is_label, cosine - margin[gt_classes].unsqueeze(1), cosine)
    expected = F.cross_entropy(30 * cosine, gt_classes, reduction="none")
    actual = LDAMLoss(3, STATS)(classifier(features), gt_classes)
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("setting", [{"max_margin": 0.0}, {"scale": 0.0}])
def test_without_a_margin_it_is_the_plain_loss(setting):
    logits, gt_classes = torch.randn(8, 4, dtype=torch.float64), torch.arange(8) % 4
    plain = SoftmaxLoss(3)(logits, gt_classes)
    assert LDAMLoss(3, STATS, **setting)(logits, gt_classes).equal(plain)


def test_equal_counts_have_the_largest_margin():
    equal = ClassStats(3, 50, np.full(3, 7), np.full(3, 7))
    assert LDAMLoss(3, equal, max_margin=0.3).margins().tolist() == [0.3] * 3


def test_drw_weighs_after_its_step_what_the_margin_left():
    """The margin holds from the start, class-balanced weights from ``start_step``."""
    loss = LDAMLoss(3, STATS, beta=0.9999, start_step=1)
    margin_alone = LDAMLoss(3, STATS)
    logits, gt_classes = torch.randn(8, 4, dtype=torch.float64), torch.arange(8) % 4
    before = loss(logits, gt_classes)
    assert before.equal(margin_alone(logits, gt_classes))
    loss.update_state(logits, gt_classes)
    raw = [1e-4 / (1 - 0.9999**n) for n in COUNTS]
    weights = torch.tensor([3 * w / sum(raw) for w in raw] + [1.0], dtype=torch.float64)
    torch.testing.assert_close(
        loss(logits, gt_classes), weights[gt_classes] * before, rtol=1e-9, atol=0
    )
