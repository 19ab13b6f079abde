"""Fixtures of the tests of box predictors and calibrations."""

import sys
from pathlib import Path

import pytest

from lt_det.losses import SigmoidLoss, SoftmaxLoss

# `import toy_predictor` works however pytest was told to import test files.
sys.path.insert(0, str(Path(__file__).parent))


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
