"""Post-hoc calibration: the registry's contract, formulas by hand, what is refused."""

import inspect
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.structures import Boxes, Instances

from lt_det.class_stats import ClassStats
from lt_det.config import add_lt_det_config
from lt_det.losses import (
    BalancedGroupSoftmaxLoss,
    BoxClsLoss,
    SigmoidLoss,
    SoftmaxLoss,
)
from lt_det.modeling import (
    CALIBRATION_REGISTRY,
    BoxCalibration,
    CosineClassifier,
    LinearClassifier,
    LogitAdjustmentCalibration,
    LTFastRCNNOutputLayers,
    MARCClassifier,
    NorCalCalibration,
    TauNormCalibration,
)
from lt_det.modeling.calibration import build_calibration
from lt_det.registry import hyper_parameters, node_name

K, D, R = 4, 6, 9
CALIBRATIONS = sorted(
    (cls for _, cls in CALIBRATION_REGISTRY if cls.__module__.startswith("lt_det.")),
    key=lambda cls: cls.__name__,
)
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
every_calibration = pytest.mark.parametrize("cls", CALIBRATIONS, ids=lambda cls: cls.__name__)


def case(loss, seed=0):
    """A trained classifier and features."""
    torch.manual_seed(seed)
    classifier = LinearClassifier(D, loss.num_logits).double()
    with torch.no_grad():
        classifier.weight.normal_(std=0.7)
        classifier.bias.normal_()
    return classifier, torch.randn(R, D, dtype=torch.float64)


def probs_of(calibration, loss, seed=0):
    classifier, features = case(loss, seed)
    return calibration.predict_probs(classifier(features), loss, classifier)


@pytest.fixture
def softmax(class_stats):
    return SoftmaxLoss(K, class_stats)


@pytest.fixture
def sigmoid(class_stats):
    return SigmoidLoss(K, class_stats)


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


# --- tau-norm ----------------------------------------------------------------------------------


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("drop_bias", [False, True])
@pytest.mark.parametrize("background", [False, True])
def test_tau_norm_equals_a_normalised_layer(tau, drop_bias, background, softmax):
    classifier, features = case(softmax)
    probs = TauNormCalibration(tau=tau, drop_bias=drop_bias, background=background).predict_probs(
        classifier(features), softmax, classifier
    )
    rows = []
    for j, (w, b) in enumerate(zip(classifier.weight.tolist(), classifier.bias, strict=True)):
        normalised = j < K or background
        length = math.hypot(*w) ** tau if normalised else 1.0
        bias = 0.0 if normalised and drop_bias else b.item()
        rows.append(features @ torch.tensor(w).double() / length + bias)
    expected = torch.stack(rows, dim=1).softmax(1)
    torch.testing.assert_close(probs, expected, rtol=1e-6, atol=1e-9)


def test_tau_norm_by_hand():
    """W = (3, 4) and (0, 2), h = (1, 1): 7 and 2 become 7/5 and 1."""
    loss = SigmoidLoss(2)
    classifier = LinearClassifier(2, 2).double()
    with torch.no_grad():
        classifier.weight.copy_(torch.tensor([[3.0, 4.0], [0.0, 2.0]]))
        classifier.bias.copy_(torch.tensor([5.0, -1.0]))
    logits = classifier(torch.ones(1, 2).double())
    z = TauNormCalibration().calibrated(logits, loss, classifier)
    torch.testing.assert_close(z, torch.tensor([[7 / 5, 1.0]]).double())
    z = TauNormCalibration(drop_bias=False).calibrated(logits, loss, classifier)
    torch.testing.assert_close(z, torch.tensor([[7 / 5 + 5, 0.0]]).double())


@pytest.mark.parametrize("classifier", [CosineClassifier, MARCClassifier])
def test_tau_norm_needs_a_linear_layer(classifier, softmax):
    layer = classifier(D, K + 1, K)
    with pytest.raises(ValueError, match=rf"linear layer.*{classifier.__name__}.*LinearClassifier"):
        TauNormCalibration().check(softmax, layer)


# --- logit adjustment and NorCal ---------------------------------------------------------------


def test_logit_adjustment_by_hand():
    """q = (3/4, 1/4), K q = (3/2, 1/2): odds are divided by these; the background's are not."""
    loss = SoftmaxLoss(2, ClassStats(2, 4, np.array([3, 1]), np.array([3, 1])))
    logits = torch.tensor([[math.log(3), math.log(2), math.log(6)]], dtype=torch.float64)
    probs = LogitAdjustmentCalibration().predict_probs(logits, loss, None)
    torch.testing.assert_close(probs, torch.tensor([[2.0, 4.0, 6.0]]).double() / 12)


def test_logit_adjustment_undoes_the_prior_of_balanced_classes():
    even = ClassStats(K, 10, np.full(K, 5), np.full(K, 7))
    loss = SoftmaxLoss(K, even)
    classifier, features = case(loss)
    logits = classifier(features)
    probs = LogitAdjustmentCalibration(tau=3.0).predict_probs(logits, loss, classifier)
    torch.testing.assert_close(probs, loss.predict_probs(logits))


def test_logit_adjustment_is_for_a_softmax(sigmoid):
    with pytest.raises(ValueError, match=r"LogitAdjustment.*softmax.*SigmoidLoss"):
        LogitAdjustmentCalibration().check(sigmoid, LinearClassifier(D, K))


@pytest.mark.parametrize("gamma", [0.3, 1.0])
def test_norcal_is_adjustment_by_raw_counts(gamma, softmax, class_stats):
    """Beside the background, log n_j instead of log(K q_j): a constant gamma log(N / K)."""
    classifier, features = case(softmax)
    logits = classifier(features)
    probs = NorCalCalibration(gamma=gamma).predict_probs(logits, softmax, classifier)
    shift = gamma * torch.tensor([*np.log(class_stats.image_count), 0.0])
    torch.testing.assert_close(probs, (logits - shift).softmax(1))
    adjusted = LogitAdjustmentCalibration(tau=gamma, count_type="image").calibrated(
        logits, softmax, classifier
    )
    constant = gamma * math.log(class_stats.image_count.sum() / K)
    adjusted[:, :K] -= constant
    torch.testing.assert_close(probs, adjusted.softmax(1))


@pytest.mark.parametrize(
    ("hyper", "expected"),
    [
        ({}, [0.3 / 0.7, 0.2 / 0.7, 0.2 / 0.7]),
        ({"renormalise": False}, [0.3, 0.2, 0.2]),
        # 1 + 1/2 + 1/4 + 1/8 = 15/8 effective observations of the first class.
        ({"method": "effective_number"}, [0.32 / 0.72, 0.2 / 0.72, 0.2 / 0.72]),
        ({"target": "logits", "renormalise": False}, [0.5 / 0.9, 0.2 / 0.9, 0.2 / 0.9]),
    ],
)
def test_norcal_by_hand(hyper, expected):
    """n = (4, 1), gamma = 1/2; p = (0.6, 0.2, 0.2), for logits as if the first were 0.25."""
    loss = SoftmaxLoss(2, ClassStats(2, 4, np.array([4, 1]), np.array([9, 1])))
    first = 0.25 if "target" in hyper else 0.6
    logits = torch.tensor([[first, 0.2, 0.2]]).double().log()
    probs = NorCalCalibration(gamma=0.5, **hyper).predict_probs(logits, loss, None)
    torch.testing.assert_close(probs, torch.tensor([expected]).double(), rtol=1e-6, atol=0)


def test_norcal_of_a_sigmoid_by_hand():
    """sigma = (0.8, 0.2), n = (4, 1), gamma = 1/2: (0.4, 0.2), or with the sum of before."""
    loss = SigmoidLoss(2, ClassStats(2, 4, np.array([4, 1]), np.array([9, 1])))
    logits = torch.tensor([[0.8, 0.2]]).double().logit()
    raw = NorCalCalibration(gamma=0.5, renormalise=False).predict_probs(logits, loss, None)
    torch.testing.assert_close(raw, torch.tensor([[0.4, 0.2, 0.0]]).double(), rtol=1e-6, atol=0)
    probs = NorCalCalibration(gamma=0.5).predict_probs(logits, loss, None)
    expected = torch.tensor([[0.4, 0.2, 0.0]]).double() / 0.6
    torch.testing.assert_close(probs, expected, rtol=1e-6, atol=0)


def test_norcal_does_not_overflow(softmax):
    logits = torch.tensor([[800.0, 790.0, 0.0, 0.0, 780.0]])
    probs = NorCalCalibration().predict_probs(logits, softmax, None)
    assert probs.sum().item() == pytest.approx(1)


def test_gamma_of_effective_numbers_is_below_one():
    with pytest.raises(ValueError, match=r"`gamma`.*\[0, 1\).*got 1\.0"):
        NorCalCalibration(method="effective_number", gamma=1.0)


def test_logits_of_a_sigmoid_are_not_divided(sigmoid):
    with pytest.raises(ValueError, match=r"NOR_CAL\.TARGET 'logits'.*SigmoidLoss.*'probs'"):
        NorCalCalibration(target="logits").check(sigmoid, LinearClassifier(D, K))


@pytest.mark.parametrize("cls", [LogitAdjustmentCalibration, NorCalCalibration])
def test_missing_statistics_are_asked_for(cls):
    loss = SoftmaxLoss(K)
    with pytest.raises(ValueError, match=f"{cls.__name__} needs class statistics.*checkpoint"):
        cls().predict_probs(torch.zeros(1, K + 1), loss, None)


# --- in the predictor and the config -----------------------------------------------------------


def predictor_of(loss, calibration, classifier=None):
    return LTFastRCNNOutputLayers(
        ShapeSpec(channels=D),
        box2box_transform=Box2BoxTransform(weights=(10.0, 10.0, 5.0, 5.0)),
        num_classes=K,
        cls_loss=loss,
        classifier=classifier,
        calibration=calibration,
    )


def proposals():
    image = Instances((50, 50))
    image.proposal_boxes = Boxes(torch.tensor([[1.0, 1, 20, 20]]).repeat(R, 1))
    image.gt_classes = torch.arange(R) % (K + 1)
    image.gt_boxes = image.proposal_boxes
    return [image]


@every_calibration
def test_it_acts_on_probabilities_and_not_on_the_loss(cls, softmax, event_storage):
    calibrated, plain = predictor_of(softmax, cls()), predictor_of(softmax, None)
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
    predictor = predictor_of(SoftmaxLoss(K), NorCalCalibration())
    predictor.load_state_dict(predictor_of(SoftmaxLoss(K, class_stats), None).state_dict())
    predictions = predictor(torch.randn(R, D))
    (probs,) = predictor.predict_probs(predictions, proposals())
    shift = torch.tensor([*(0.6 * np.log(class_stats.image_count)), 0.0])
    torch.testing.assert_close(probs.double(), (predictions[0] - shift).softmax(1))


def test_a_misfit_is_refused_when_the_predictor_is_built(class_stats):
    loss = BalancedGroupSoftmaxLoss(K, class_stats)
    with pytest.raises(ValueError, match=r"TEST\.CALIBRATION\.NAME.*BalancedGroupSoftmaxLoss"):
        predictor_of(loss, NorCalCalibration())


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
