"""Federated negatives: the classes of the batch, a few drawn ones, LVIS's lists."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.roi_heads import FastRCNNOutputLayers

from lt_det.class_stats import ClassStats
from lt_det.losses import EQLLoss, FederatedLoss, SigmoidLoss
from lt_det.losses.sigmoid.federated_classes import draw_federated_classes

# Probabilities 3/4, 1/2 and 1/2.
LOGITS = torch.tensor([[math.log(3), 0.0, 0.0]], dtype=torch.float64)
LOG2, LOG4 = math.log(2), math.log(4)


def stats_of(image_count):
    image_count = np.array(image_count)
    return ClassStats(len(image_count), 1000, image_count, image_count)


@pytest.mark.parametrize(
    ("federated_classes", "expected"),
    [
        (2, [math.log(4 / 3), LOG4]),  # class 0 and the background make up 2
        (3, [math.log(4 / 3) + LOG2, LOG4 + LOG2]),  # one more, and class 2 has no picture
        (9, [math.log(4 / 3) + LOG2, LOG4 + LOG2]),
    ],
)
def test_by_hand(federated_classes, expected):
    loss = FederatedLoss(3, stats_of([9, 4, 0]), federated_classes=federated_classes)
    labels = torch.tensor([0, 3])
    mask = loss.draw_mask(labels)
    assert loss(LOGITS.expand(2, 3), labels, mask).tolist() == pytest.approx(expected, rel=1e-14)


def test_draws_follow_the_root_of_the_counts():
    """Of counts 16 and 1 one is drawn: with 4/5 the first."""
    draw = (torch.tensor([0]), torch.tensor([9.0, 16, 1]), 2, 0.5)
    drawn = Counter(draw_federated_classes(*draw).nonzero()[-1].item() for _ in range(2000))
    assert drawn[1] / 2000 == pytest.approx(0.8, abs=5 * math.sqrt(0.8 * 0.2 / 2000))


def test_it_is_detectron2s_draw_for_draw():
    counts = [100, 60, 30, 20, 10, 5, 2, 1]
    stock = FastRCNNOutputLayers(
        ShapeSpec(channels=3),
        box2box_transform=Box2BoxTransform((10, 10, 5, 5)),
        num_classes=8,
        use_sigmoid_ce=True,
        use_fed_loss=True,
        get_fed_loss_cls_weights=lambda: torch.tensor(counts).float() ** 0.5,
        fed_loss_num_classes=5,
    )
    loss = FederatedLoss(8, stats_of(counts), federated_classes=5, background_column=True)
    logits, labels = torch.randn(6, 9), torch.tensor([0, 8, 8, 3, 8, 0])
    for seed in range(20):
        torch.manual_seed(seed)
        expected = stock.sigmoid_cross_entropy_loss(logits, labels)
        torch.manual_seed(seed)
        actual = loss(logits, labels, loss.draw_mask(labels)).sum() / 6
        torch.testing.assert_close(actual, expected, rtol=1e-6, atol=0)


def test_all_classes_are_the_plain_loss(class_stats):
    logits, labels = torch.randn(15, 4, dtype=torch.float64), torch.arange(15) % 5
    loss = FederatedLoss(4, class_stats)
    assert loss(logits, labels, loss.draw_mask(labels)).equal(SigmoidLoss(4)(logits, labels))


def test_under_another_loss_it_is_a_setting():
    """Class 1 is drawn, but it is a tail class: a negative for the background alone."""
    loss = EQLLoss(3, stats_of([900, 1, 0]), federated_classes=3, threshold=0.1)
    labels = torch.tensor([0, 3])
    value = loss(LOGITS.expand(2, 3), labels, loss.draw_mask(labels)).tolist()
    assert value == pytest.approx([math.log(4 / 3), LOG4 + LOG2], rel=1e-14)


# --- LVIS's lists -------------------------------------------------------------------------------


def test_known_negatives_by_hand():
    """Positives count whatever the lists say; negatives of known classes alone."""
    loss, labels = SigmoidLoss(3, only_known_negatives=True), torch.tensor([0, 1, 3])
    known_negatives = torch.tensor(
        [[False, True, False], [True, False, False], [False, False, True]]
    )
    value = loss(LOGITS.expand(3, 3), labels, loss.draw_mask(labels, known_negatives)).tolist()
    assert value == pytest.approx([math.log(4 / 3) + LOG2, LOG2 + LOG4, LOG2], rel=1e-14)


def test_known_negatives_and_a_draw_together():
    loss = FederatedLoss(3, stats_of([9, 4, 0]), federated_classes=2, only_known_negatives=True)
    labels = torch.tensor([0, 3])
    mask = loss.draw_mask(labels, torch.tensor([[False, True, True], [False, True, True]]))
    assert mask.tolist() == [[True, False, False], [False, False, False]]


def test_all_known_is_the_plain_loss(class_stats):
    logits, labels = torch.randn(15, 4, dtype=torch.float64), torch.arange(15) % 5
    loss = SigmoidLoss(4, only_known_negatives=True)
    mask = loss.draw_mask(labels, torch.ones(15, 4, dtype=torch.bool))
    assert loss(logits, labels, mask).equal(SigmoidLoss(4)(logits, labels))


@pytest.mark.parametrize("layout", [{"background_column": True}, {"objectness": "train"}])
def test_a_background_column_is_known(layout):
    loss = SigmoidLoss(2, only_known_negatives=True, **layout)
    mask = loss.draw_mask(torch.tensor([0, 2]), torch.zeros(2, 2, dtype=torch.bool))
    assert mask.tolist() == [[True, False, True], [False, False, True]]
