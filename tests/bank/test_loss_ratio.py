"""Every loss trains on a feature bank as in the detector: their losses agree within 1 %.

At the defaults: 512 RoIs an image, of whose background the bank keeps 128 rows. Both sides train a
classifier of their own on the same images; ``python tests/bank/test_loss_ratio.py`` prints the
table.
"""

import copy

import numpy as np
import pytest
import torch
from contract import LOSSES, every_loss
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.utils.events import EventStorage

from lt_det.bank.sampling import sample_step
from lt_det.class_stats import ClassStats
from lt_det.modeling import LTFastRCNNOutputLayers

K, D = 20, 16
NUM_ROIS, NUM_FOREGROUND, KEPT_BACKGROUND = 512, 40, 128
NUM_STEPS, NUM_SEEDS, IMAGES = 60, 5, 2
LR = 0.05
COUNTS = np.round(2000 * 0.7 ** np.arange(K)).clip(2)
SETTINGS = {
    # Tail classes of this data set.
    "EQLLoss": {"threshold": 0.02},
    "DropLoss": {"threshold": 0.02},
    "SoftmaxEQLLoss": {"threshold": 0.02},
    "FederatedLoss": {"federated_classes": 14},
    # A start at which negatives have gradients worth weighing: without row weights it is 1.65.
    "EFLLoss": {"prior_prob": 0.3},
}


def predictor_of(cls) -> LTFastRCNNOutputLayers:
    stats = ClassStats(K, 4000, COUNTS, 2 * COUNTS)
    return LTFastRCNNOutputLayers(
        ShapeSpec(channels=D),
        num_classes=K,
        cls_loss=cls(K, stats, **SETTINGS.get(cls.__name__, {})),
        box2box_transform=Box2BoxTransform(weights=(10, 10, 5, 5)),
    )


def image_of(means) -> tuple[torch.Tensor, torch.Tensor]:
    """Features and labels of an image's RoIs: foreground by the counts, the rest background."""
    share = torch.from_numpy(COUNTS / COUNTS.sum())
    labels = torch.full((NUM_ROIS,), K)
    labels[:NUM_FOREGROUND] = torch.multinomial(share, NUM_FOREGROUND, replacement=True)
    return means[labels] + torch.randn(NUM_ROIS, D), labels


def kept_by_a_bank(labels) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of an image that a step on the bank sees, and their weights."""
    background = NUM_FOREGROUND + torch.randperm(NUM_ROIS - NUM_FOREGROUND)[:KEPT_BACKGROUND]
    rows = torch.cat([torch.arange(NUM_FOREGROUND), background])
    drawn, weights = sample_step(labels[rows], NUM_ROIS - NUM_FOREGROUND, NUM_ROIS, 0.25, K)
    return rows[drawn], weights


def step(predictor, features, labels, weights=None) -> float:
    logits = predictor.cls_score(features)
    loss = predictor.classification_loss(logits, labels, weights)
    parameters = list(predictor.cls_score.parameters())
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.data.sub_(LR * gradient)
    return float(loss.detach())


def bank_over_detector(cls) -> float:
    """The sum of the bank's training losses over that of the detector's."""
    sums = torch.zeros(2)
    for seed in range(NUM_SEEDS):
        torch.manual_seed(seed)
        means = 0.7 * torch.randn(K + 1, D)
        detector = predictor_of(cls).train()
        bank = copy.deepcopy(detector)
        for _ in range(NUM_STEPS):
            images = [image_of(means) for _ in range(IMAGES)]
            features = torch.cat([f for f, _ in images])
            labels = torch.cat([label for _, label in images])
            parts = [kept_by_a_bank(label) for _, label in images]
            rows = torch.cat([NUM_ROIS * i + rows for i, (rows, _) in enumerate(parts)])
            weights = torch.cat([weights for _, weights in parts])
            sums[0] += step(bank, features[rows], labels[rows], weights)
            sums[1] += step(detector, features, labels)
    return float(sums[0] / sums[1])


@pytest.mark.runslow
@every_loss
def test_a_loss_on_the_bank_is_that_in_the_detector(cls, event_storage):
    assert bank_over_detector(cls) == pytest.approx(1, abs=0.01)


if __name__ == "__main__":
    with EventStorage():
        for loss_class in LOSSES:
            print(f"{loss_class.__name__:28s} {bank_over_detector(loss_class):.4f}", flush=True)
