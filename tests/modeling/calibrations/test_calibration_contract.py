"""The contract of a calibration, for everything in the registry: values, parameters, refusals."""

import math

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from parameter_values import values
from toy_calibration import R, case, every_calibration
from toy_predictor import D, K

from lt_det.class_stats import ClassStats
from lt_det.config import add_lt_det_config
from lt_det.losses import BalancedGroupSoftmaxLoss, BoxClsLoss, SigmoidLoss, SoftmaxLoss
from lt_det.modeling import LinearClassifier
from lt_det.modeling.calibrations.base import build_calibration
from lt_det.registry import hyper_parameters, node_name

# A setting that leaves the classifier as it is.
NEUTRAL = {
    "TauNormCalibration": {"tau": 0.0, "drop_bias": False},
    "LogitAdjustmentCalibration": {"tau": 0.0},
    "NorCalCalibration": {"gamma": 0.0},
}
_BAD_NUMBERS = [-1.0, math.nan, math.inf]
_BAD_COUNT_TYPES = ["images", None]
# Parameter -> (another value than the default, values without meaning).
PARAMETERS = {
    "TauNormCalibration": {
        "tau": (0.5, _BAD_NUMBERS),
        "drop_bias": (False, []),
        "background": (True, []),
    },
    "LogitAdjustmentCalibration": {
        "tau": (0.5, _BAD_NUMBERS),
        "count_type": ("image", _BAD_COUNT_TYPES),
    },
    "NorCalCalibration": {
        "gamma": (0.3, _BAD_NUMBERS),
        "method": ("effective_number", ["cb", ""]),
        "target": ("logits", ["exps", None]),
        "renormalise": (False, []),
        "count_type": ("instance", _BAD_COUNT_TYPES),
    },
}
WHERE = "PARAMETERS in tests/modeling/calibrations/test_calibration_contract.py"


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
        others = values(cls, PARAMETERS, WHERE).items()
        for hyper in ({}, *({name: value} for name, (value, _) in others)):
            for loss in self.losses(cls, class_stats):
                probs = probs_of(cls(**hyper), loss)
                assert probs.shape == (R, K + 1)
                assert ((probs >= 0) & (probs <= 1)).all()

    def test_a_neutral_setting_changes_no_bit(self, cls, class_stats):
        assert cls.__name__ in NEUTRAL, "add a setting that changes nothing to NEUTRAL in this file"
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

    def test_the_names_of_the_classes_do_not_matter(self, cls, class_stats):
        order = [2, 0, 3, 1]  # new class i is old class order[i]
        stats = ClassStats(
            K,
            class_stats.num_images,
            class_stats.image_count[order],
            class_stats.instance_count[order],
        )
        for loss, renamed in zip(
            self.losses(cls, class_stats), self.losses(cls, stats), strict=True
        ):
            classifier, features = case(loss)
            rows = [*order, *range(K, loss.num_logits)]
            other = LinearClassifier(D, loss.num_logits).double()
            other.load_state_dict({k: v[rows] for k, v in classifier.state_dict().items()})
            for name, (value, _) in {"": (None, []), **values(cls, PARAMETERS, WHERE)}.items():
                calibration = cls(**({name: value} if name else {}))
                torch.testing.assert_close(
                    calibration.predict_probs(other(features), renamed, other),
                    calibration.predict_probs(classifier(features), loss, classifier)[
                        :, [*order, K]
                    ],
                    rtol=1e-12,
                    atol=1e-12,
                )

    def test_config_node_has_the_keyword_only_parameters(self, cls):
        cfg = get_cfg()
        add_lt_det_config(cfg)
        node = cfg.TEST.CALIBRATION[node_name(cls, "Calibration")]
        assert dict(node) == {name.upper(): v for name, v in hyper_parameters(cls).items()}

    def test_every_parameter_changes_something(self, cls, class_stats):
        loss = self.losses(cls, class_stats)[0]
        for name, (value, _) in values(cls, PARAMETERS, WHERE).items():
            cfg = get_cfg()
            add_lt_det_config(cfg)
            cfg.TEST.CALIBRATION.NAME = cls.__name__
            cfg.TEST.CALIBRATION[node_name(cls, "Calibration")][name.upper()] = value
            changed = build_calibration(cfg)
            assert type(changed) is cls
            assert not probs_of(changed, loss).equal(probs_of(cls(), loss)), name

    def test_every_invalid_value_is_named(self, cls):
        for name, (_, invalid) in values(cls, PARAMETERS, WHERE).items():
            for value in invalid:
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
        if "softmax" not in cls.links:
            pytest.skip("it is for sigmoids")
        classifier, features = case(softmax)
        logits = classifier(features)
        calibrated = cls().calibrated(logits, softmax, classifier)
        assert calibrated[:, K].equal(logits[:, K])
