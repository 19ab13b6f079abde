"""Fixtures of the tests of box predictors and calibrations."""

import pytest

from lt_det.losses import SigmoidLoss, SoftmaxLoss


@pytest.fixture
def loss(loss_class, class_stats):
    """The loss of a test under ``every_loss``."""
    return loss_class(class_stats.num_classes, class_stats)


@pytest.fixture
def softmax(class_stats):
    return SoftmaxLoss(class_stats.num_classes, class_stats)


@pytest.fixture
def sigmoid(class_stats):
    return SigmoidLoss(class_stats.num_classes, class_stats)
