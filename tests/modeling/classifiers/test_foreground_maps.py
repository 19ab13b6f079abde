"""LWS, MARC and DisAlign: maps on the foreground logits, neutral at the start."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.roi_heads import FastRCNNOutputLayers

from lt_det.engine.freeze import freeze_parameters
from lt_det.losses import SigmoidLoss, SoftmaxLoss
from lt_det.modeling import (
    DisAlignClassifier,
    LearnedScaleClassifier,
    LinearClassifier,
    MARCClassifier,
)
from lt_det.modeling.install import predictor_from_stock

K, D = 4, 6
MAPS = [
    (LearnedScaleClassifier, {}),
    (LearnedScaleClassifier, {"scale_bias": True}),
    (MARCClassifier, {}),
    (DisAlignClassifier, {}),
]
every_map = pytest.mark.parametrize(("cls", "hyper"), MAPS)


def trained(cls, num_logits=K + 1, **hyper):
    """A classifier with arbitrary values everywhere, in float64."""
    layer = cls(D, num_logits, K, **hyper).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    return layer


def values(layer, name):
    return layer.foreground_map[name].tolist()


@every_map
@pytest.mark.parametrize("num_logits", [K, K + 1, K + 6])
def test_a_fresh_map_is_the_linear_layer(cls, hyper, num_logits):
    layer, linear = cls(D, num_logits, K, **hyper), LinearClassifier(D, num_logits)
    with torch.no_grad():
        layer.bias.normal_()
    linear.load_state_dict({name: layer.state_dict()[name] for name in ("weight", "bias")})
    features = torch.randn(7, D)
    assert layer(features).equal(linear(features))


def expected_logit(layer, h, j):
    """The formulas of the papers, in plain numbers."""
    w, b = layer.weight[j].tolist(), layer.bias[j].item()
    product = sum(x * y for x, y in zip(w, h, strict=True))
    if isinstance(layer, LearnedScaleClassifier):
        scale = values(layer, "scale")[j]
        return scale * (product + b) if layer.scale_bias else scale * product + b
    if isinstance(layer, MARCClassifier):
        # The signed distance from the hyperplane, mapped, times |W_j|.
        length = math.hypot(*w)
        distance = (product + b) / length
        return length * (values(layer, "omega")[j] * distance + values(layer, "beta")[j])
    v, v0 = values(layer, "confidence_weight"), layer.foreground_map["confidence_bias"].item()
    c = 1 / (1 + math.exp(-sum(x * y for x, y in zip(v, h, strict=True)) - v0))
    z = product + b
    return c * (values(layer, "alpha")[j] * z + values(layer, "beta")[j]) + (1 - c) * z


@every_map
def test_equals_the_papers_formula(cls, hyper):
    layer, features = trained(cls, **hyper), torch.randn(5, D, dtype=torch.float64)
    logits = layer(features)
    for i, h in enumerate(features.tolist()):
        for j in range(K):
            assert logits[i, j].item() == pytest.approx(expected_logit(layer, h, j), rel=1e-10)


@every_map
@pytest.mark.parametrize("num_logits", [K + 1, K + 6])
def test_other_logits_are_the_linear_layers(cls, hyper, num_logits):
    layer, features = trained(cls, num_logits, **hyper), torch.randn(5, D, dtype=torch.float64)
    linear = F.linear(features, layer.weight, layer.bias)
    assert layer(features)[:, K:].equal(linear[:, K:])
    assert not torch.isclose(layer(features)[:, :K], linear[:, :K]).any()


@every_map
def test_the_published_glob_trains_the_map_alone(cls, hyper):
    model = torch.nn.ModuleDict({"cls_score": cls(D, K + 1, K, **hyper)})
    freeze_parameters(model, ("*cls_score.foreground_map*",))
    layer = model["cls_score"]
    SoftmaxLoss(K)(layer(torch.randn(9, D)), torch.arange(9) % (K + 1)).sum().backward()
    assert layer.weight.grad is None
    assert layer.bias.grad is None
    assert all(p.grad is not None for p in layer.foreground_map.values())


def test_weights_of_marc_may_train_too():
    """Then the length of W_j is a part of the logit as any other."""
    layer = trained(MARCClassifier)
    features = torch.randn(3, D, dtype=torch.float64)

    def logits(weight):
        return torch.func.functional_call(layer, {"weight": weight}, (features,))

    assert torch.autograd.gradcheck(logits, layer.weight.detach().requires_grad_())


def test_marcs_norm_is_that_of_the_weights_however_they_came():
    layer, features = trained(MARCClassifier), torch.randn(4, D, dtype=torch.float64)
    loaded = MARCClassifier(D, K + 1, K).double()
    loaded.load_state_dict(layer.state_dict())
    assert loaded(features).equal(layer(features))
    partly = MARCClassifier(D, K + 1, K).double()
    partly.load_state_dict({"weight": layer.weight, "bias": layer.bias}, strict=False)
    with torch.no_grad():
        partly.foreground_map["beta"].fill_(1.0)
    added = partly(features) - F.linear(features, layer.weight, layer.bias)
    expected = torch.tensor([math.hypot(*row) for row in layer.weight[:K].tolist()])
    torch.testing.assert_close(added[:, :K], expected.double().expand(4, K))
    partly.reset(0.0)
    assert (partly.foreground_map["beta"] == 0).all()


def test_confidence_one_and_zero_are_the_mapped_and_the_plain_logits():
    layer, features = trained(DisAlignClassifier), torch.randn(4, D, dtype=torch.float64)
    linear = F.linear(features, layer.weight, layer.bias)[:, :K]
    with torch.no_grad():
        layer.foreground_map["confidence_weight"].zero_()
        layer.foreground_map["confidence_bias"].fill_(100.0)
        mapped = layer.foreground_map["alpha"] * linear + layer.foreground_map["beta"]
        torch.testing.assert_close(layer(features)[:, :K], mapped)
        layer.foreground_map["confidence_bias"].fill_(-100.0)
        torch.testing.assert_close(layer(features)[:, :K], linear)


@pytest.mark.parametrize("num_classes", [0, K + 2])
@every_map
def test_impossible_numbers_of_classes_are_refused(cls, hyper, num_classes):
    with pytest.raises(ValueError, match=rf"`num_classes`.*5 logits.*got {num_classes}"):
        cls(D, K + 1, num_classes, **hyper)


# --- in the predictor --------------------------------------------------------------------------


def stock_predictor():
    return FastRCNNOutputLayers(
        ShapeSpec(channels=D),
        box2box_transform=Box2BoxTransform(weights=(10.0, 10.0, 5.0, 5.0)),
        num_classes=K,
    )


@every_map
def test_takes_over_a_stock_predictors_weights(cls, hyper):
    stock = stock_predictor()
    ours = predictor_from_stock(stock, SoftmaxLoss(K), cls(D, K + 1, K, **hyper))
    features = torch.randn(5, D)
    assert ours(features)[0].equal(stock(features)[0])


def test_a_map_on_other_columns_than_the_foregrounds_is_refused():
    classifier = MARCClassifier(D, K + 1, K + 1)
    with pytest.raises(ValueError, match=rf"`classifier` of {K} classes.*MARCClassifier has 5"):
        predictor_from_stock(stock_predictor(), SoftmaxLoss(K), classifier)


@every_map
def test_serves_the_sigmoid_without_a_background(cls, hyper):
    layer, features = trained(cls, K, **hyper), torch.randn(5, D, dtype=torch.float64)
    wide = copy.deepcopy(layer)
    for name in ("weight", "bias"):
        own = getattr(layer, name)
        setattr(wide, name, torch.nn.Parameter(torch.cat([own, torch.zeros_like(own[:1])])))
    probs = SigmoidLoss(K).predict_probs(layer(features))
    torch.testing.assert_close(probs[:, :K], wide(features).sigmoid()[:, :K])
