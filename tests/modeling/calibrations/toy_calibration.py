"""The calibrations of lt_det, and a trained classifier with features for them."""

import pytest
import torch
from parameter_values import own
from toy_predictor import D

from lt_det.modeling import CALIBRATION_REGISTRY, LinearClassifier

R = 9
CALIBRATIONS = own(CALIBRATION_REGISTRY)
every_calibration = pytest.mark.parametrize("cls", CALIBRATIONS, ids=lambda cls: cls.__name__)


def case(loss, seed=0):
    """A trained classifier and features."""
    torch.manual_seed(seed)
    classifier = LinearClassifier(D, loss.num_logits).double()
    with torch.no_grad():
        classifier.weight.normal_(std=0.7)
        classifier.bias.normal_()
    return classifier, torch.randn(R, D, dtype=torch.float64)
