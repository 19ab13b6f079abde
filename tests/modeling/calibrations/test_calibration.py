"""A calibration in the predictor and the config: where it acts, what is refused."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from detectron2.config import get_cfg
from toy_calibration import R, case, every_calibration
from toy_predictor import D, K, predictor_of, proposals_of

from lt_det.config import add_lt_det_config
from lt_det.losses import BalancedGroupSoftmaxLoss, SoftmaxLoss
from lt_det.modeling import CALIBRATION_REGISTRY, BoxCalibration, NorCalCalibration
from lt_det.modeling.calibrations.base import build_calibration


def proposals():
    return proposals_of([r % (K + 1) for r in range(R)])


@every_calibration
def test_it_acts_on_probabilities_and_not_on_the_loss(cls, softmax, event_storage):
    calibrated, plain = predictor_of(softmax, calibration=cls()), predictor_of(softmax)
    with torch.no_grad():
        calibrated.cls_score.weight.normal_(std=0.7)
    plain.load_state_dict(calibrated.state_dict())
    predictions = calibrated(torch.randn(R, D))
    (ours,), (theirs,) = (p.predict_probs(predictions, proposals()) for p in (calibrated, plain))
    expected = cls().predict_probs(predictions[0], softmax, calibrated.cls_score)
    assert ours.equal(expected)
    assert not ours.equal(theirs)
    losses = [p.losses(predictions, proposals())["loss_cls"] for p in (calibrated, plain)]
    assert losses[0].equal(losses[1])


def test_statistics_of_a_checkpoint_count(class_stats):
    """They are loaded after the predictor is built."""
    predictor = predictor_of(SoftmaxLoss(K), calibration=NorCalCalibration())
    predictor.load_state_dict(predictor_of(SoftmaxLoss(K, class_stats)).state_dict())
    predictions = predictor(torch.randn(R, D))
    (probs,) = predictor.predict_probs(predictions, proposals())
    shift = torch.tensor([*(0.6 * np.log(class_stats.image_count)), 0.0])
    torch.testing.assert_close(probs.double(), (predictions[0] - shift).softmax(1))


def test_a_misfit_is_refused_when_the_predictor_is_built(class_stats):
    loss = BalancedGroupSoftmaxLoss(K, class_stats)
    with pytest.raises(ValueError, match=r"TEST\.CALIBRATION\.NAME.*BalancedGroupSoftmaxLoss"):
        predictor_of(loss, calibration=NorCalCalibration())


def test_none_by_default_and_unknown_names_are_listed():
    cfg = get_cfg()
    add_lt_det_config(cfg)
    assert build_calibration(cfg) is None
    cfg.TEST.CALIBRATION.NAME = "NorCal"
    expected = r"TEST\.CALIBRATION\.NAME 'NorCal'.*LogitAdjustmentCalibration, NorCalCalibration"
    with pytest.raises(ValueError, match=expected):
        build_calibration(cfg)


def test_a_calibration_from_outside_gets_its_keys(softmax):
    @CALIBRATION_REGISTRY.register()
    class TemperatureCalibration(BoxCalibration):
        """z / temperature."""

        def __init__(self, *, temperature: float = 1.0):
            self.temperature = temperature

        def calibrated(self, logits, cls_loss, classifier):
            return logits / self.temperature

    try:
        cfg = get_cfg()
        add_lt_det_config(cfg)
        cfg.TEST.CALIBRATION.NAME = "TemperatureCalibration"
        cfg.TEST.CALIBRATION.TEMPERATURE.TEMPERATURE = 2.0
        classifier, features = case(softmax)
        logits = classifier(features)
        probs = build_calibration(cfg).predict_probs(logits, softmax, classifier)
        assert probs.equal(F.softmax(logits / 2, dim=1))
    finally:
        CALIBRATION_REGISTRY._obj_map.pop("TemperatureCalibration")
