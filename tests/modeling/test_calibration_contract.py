"""The contract of a calibration, for everything in the registry: values, parameters, refusals."""

import inspect
import math

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from toy_calibration import R, case, every_calibration
from toy_predictor import D, K

from lt_det.class_stats import ClassStats
from lt_det.config import add_lt_det_config
from lt_det.losses import BalancedGroupSoftmaxLoss, BoxClsLoss, SigmoidLoss, SoftmaxLoss
from lt_det.modeling import LinearClassifier
from lt_det.modeling.calibration import build_calibration
from lt_det.registry import hyper_parameters, node_name

# What leaves the classifier as it is; another value than the default for every keyword-only
# parameter; values without meaning.
NEUTRAL = {
    "TauNormCalibration": {"tau": 0.0, "drop_bias": False},
    "LogitAdjustmentCalibration": {"tau": 0.0},
    "NorCalCalibration": {"gamma": 0.0},
}
ALTERNATIVES = {
    "TauNormCalibration": {"tau": 0.5, "drop_bias": False, "background": True},
    "LogitAdjustmentCalibration": {"tau": 0.5, "count_type": "image"},
    "NorCalCalibration": {
        "gamma": 0.3,
        "method": "effective_number",
        "target": "logits",
        "renormalise": False,
        "count_type": "instance",
    },
}
_BAD_NUMBERS = [-1.0, math.nan, math.inf]
INVALID = {
    "TauNormCalibration": {"tau": _BAD_NUMBERS},
    "LogitAdjustmentCalibration": {"tau": _BAD_NUMBERS, "count_type": ["images", None]},
    "NorCalCalibration": {
        "gamma": _BAD_NUMBERS,
        "method": ["cb", ""],
        "target": ["exps", None],
        "count_type": ["images", None],
    },
}


def probs_of(calibration, loss, seed=0):
    classifier, features = case(loss, seed)
    return calibration.predict_probs(classifier(features), loss, classifier)


@every_calibration
class TestEveryCalibration:
    def losses(self, cls, class_stats):
        losses = {
            "softmax": SoftmaxLoss(K, class_stats),
            "sigmoid": SigmoidLoss(K, class_stats),
            "sigmoid with a column": SigmoidLoss(K, class_stats, background_column=True),
        }
        return [loss for name, loss in losses.items() if name.split()[0] in cls.links]

    def test_probabilities(self, cls, class_stats):
        for hyper in ({}, *({k: v} for k, v in ALTERNATIVES[cls.__name__].items())):
            if "target" in hyper or "method" in hyper:
                hyper = {**hyper, "gamma": 0.5}
            for loss in self.losses(cls, class_stats):
                probs = probs_of(cls(**hyper), loss)
                assert probs.shape == (R, K + 1)
                assert ((probs >= 0) & (probs <= 1)).all()

    def test_a_neutral_setting_changes_no_bit(self, cls, class_stats):
        for loss in self.losses(cls, class_stats):
            for dtype in (torch.float64, torch.float32):
                classifier, features = case(loss)
                classifier, features = classifier.to(dtype), features.to(dtype)
                logits = classifier(features)
                calibration = cls(**NEUTRAL[cls.__name__])
                calibration.check(loss, classifier)
                probs = calibration.predict_probs(logits, loss, classifier)
                assert probs.equal(loss.predict_probs(logits))

    def test_it_is_pure(self, cls, class_stats):
        for loss in self.losses(cls, class_stats):
            classifier, features = case(loss)
            logits = classifier(features).detach()
            before = logits.clone()
            first = cls().predict_probs(logits, loss, classifier)
            assert cls().predict_probs(logits, loss, classifier).equal(first)
            assert logits.equal(before)

    def test_empty_and_huge_inputs(self, cls, class_stats):
        for loss in self.losses(cls, class_stats):
            classifier, features = case(loss)
            empty = cls().predict_probs(classifier(features[:0]), loss, classifier)
            assert empty.shape == (0, K + 1)
            huge = cls().predict_probs(1e4 * classifier(features), loss, classifier)
            assert huge.isfinite().all()

    def test_zero_counts_and_zero_weights_are_finite(self, cls):
        zeros = ClassStats(K, 50, np.array([50, 0, 3, 0]), np.array([70, 0, 3, 0]))
        for loss in self.losses(cls, zeros):
            classifier, features = case(loss)
            with torch.no_grad():
                classifier.weight[1] = 0
            probs = cls().predict_probs(classifier(features), loss, classifier)
            assert ((probs >= 0) & (probs <= 1)).all()

    def test_config_node_has_the_keyword_only_parameters(self, cls):
        cfg = get_cfg()
        add_lt_det_config(cfg)
        node = cfg.TEST.CALIBRATION[node_name(cls, "Calibration")]
        assert dict(node) == {
            p.name.upper(): p.default
            for p in inspect.signature(cls).parameters.values()
            if p.kind is p.KEYWORD_ONLY
        }

    def test_every_parameter_changes_something(self, cls, softmax):
        assert set(ALTERNATIVES[cls.__name__]) == set(hyper_parameters(cls))
        for name, value in ALTERNATIVES[cls.__name__].items():
            cfg = get_cfg()
            add_lt_det_config(cfg)
            cfg.TEST.CALIBRATION.NAME = cls.__name__
            cfg.TEST.CALIBRATION[node_name(cls, "Calibration")][name.upper()] = value
            changed = build_calibration(cfg)
            assert type(changed) is cls
            assert not probs_of(changed, softmax).equal(probs_of(cls(), softmax)), name

    def test_every_invalid_value_is_named(self, cls):
        for name, default in hyper_parameters(cls).items():
            if isinstance(default, bool):
                continue
            for value in INVALID[cls.__name__][name]:
                with pytest.raises(ValueError, match=f"`{name}`.*{value}"):
                    cls(**{name: value})

    def test_other_layouts_are_refused(self, cls, class_stats):
        class ObjectnessLoss(SigmoidLoss):
            def predict_probs(self, logits):
                return super().predict_probs(logits) / 2

        class WideLoss(BoxClsLoss):
            num_logits = K + 2

        product, gumbel = SigmoidLoss(K, objectness="product"), SigmoidLoss(K, link="gumbel")
        wide = BalancedGroupSoftmaxLoss(K, class_stats), WideLoss(K)
        for loss in (*wide, ObjectnessLoss(K), product, gumbel):
            expected = f"CALIBRATION.NAME '{cls.__name__}'.*{type(loss).__name__}"
            with pytest.raises(ValueError, match=expected):
                cls().check(loss, LinearClassifier(D, loss.num_logits))

    def test_background_of_a_softmax_keeps_its_logit(self, cls, softmax):
        classifier, features = case(softmax)
        logits = classifier(features)
        calibrated = cls().calibrated(logits, softmax, classifier)
        assert calibrated[:, K].equal(logits[:, K])
