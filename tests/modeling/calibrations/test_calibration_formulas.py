"""Tau-norm, logit adjustment and NorCal: formulas by hand and by slow oracles; what is refused."""

import math

import numpy as np
import pytest
import torch
from toy_calibration import case
from toy_predictor import D, K

from lt_det.class_stats import ClassStats
from lt_det.losses import SigmoidLoss, SoftmaxLoss
from lt_det.modeling import (
    CosineClassifier,
    LinearClassifier,
    LogitAdjustmentCalibration,
    MARCClassifier,
    NorCalCalibration,
    TauNormCalibration,
)

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
    probs, expected = (
        NorCalCalibration().predict_probs(z, softmax, None) for z in (logits, logits - 800)
    )
    assert probs.sum().item() == pytest.approx(1)
    torch.testing.assert_close(probs, expected)


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
