"""``install_box_predictor`` on predictors of a class of their own: kept, or refused by name."""

import copy

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.roi_heads import FastRCNNOutputLayers, StandardROIHeads
from torch import nn
from toy_predictor import D, K, proposals_of

from lt_det.losses import SoftmaxLoss
from lt_det.modeling import FeatureMemoryAugmentation, LTFastRCNNOutputLayers, install_box_predictor
from lt_det.modeling.roi_heads import LTROIHeads


class TimesObjectness(FastRCNNOutputLayers):
    """As CenterNet2's: detections count with the score of their proposal."""

    def inference(self, predictions, proposals):
        instances, rows = super().inference(predictions, proposals)
        for image, kept in zip(instances, rows, strict=True):
            image.scores = image.scores * self.objectness[kept]
        return instances, rows


class ShiftedBoxes(FastRCNNOutputLayers):
    def predict_boxes(self, predictions, proposals):
        return [boxes + 1 for boxes in super().predict_boxes(predictions, proposals)]


class GatedFeatures(FastRCNNOutputLayers):
    """A module of its own before both layers."""

    def forward(self, x):
        return super().forward(self.gate(x).sigmoid() * x)


class TwiceTheBoxes(FastRCNNOutputLayers):
    def box_reg_loss(self, *args):
        return 2 * super().box_reg_loss(*args)


def stock_of(cls, **kwargs) -> FastRCNNOutputLayers:
    stock = cls(
        ShapeSpec(channels=D),
        num_classes=K,
        box2box_transform=Box2BoxTransform(weights=(10.0, 10.0, 5.0, 5.0)),
        **kwargs,
    )
    nn.init.normal_(stock.cls_score.weight)
    nn.init.normal_(stock.bbox_pred.weight)
    stock.objectness = torch.rand(8)
    stock.gate = nn.Linear(D, D)
    return stock


def installed(stock, **parts) -> LTFastRCNNOutputLayers:
    model = nn.ModuleDict({"box_predictor": copy.deepcopy(stock)})
    return install_box_predictor(model, cls_loss=SoftmaxLoss(K), **parts)["box_predictor"]


OVERRIDING = [FastRCNNOutputLayers, TimesObjectness, ShiftedBoxes, GatedFeatures, TwiceTheBoxes]


@pytest.mark.parametrize("cls", OVERRIDING)
def test_what_a_class_overrides_stays(cls, event_storage):
    stock = stock_of(cls)
    ours = installed(stock)
    assert isinstance(ours, LTFastRCNNOutputLayers)
    assert isinstance(ours, cls)
    features, proposals = torch.randn(8, D), proposals_of([0, 1, 2, 3, 4, 4, 4, 4])
    expected, actual = (
        {k: v for k, v in p.losses(p(features), proposals).items()} for p in (stock, ours)
    )
    assert expected.keys() == actual.keys()
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, rtol=1e-6, atol=0)
    with torch.no_grad():
        (expected,), (rows,) = stock.eval().inference(stock(features), proposals)
        (actual,), (own_rows,) = ours.eval().inference(ours(features), proposals)
    assert len(expected)
    assert rows.equal(own_rows)
    assert actual.scores.equal(expected.scores)
    assert actual.pred_boxes.tensor.equal(expected.pred_boxes.tensor)


@pytest.mark.parametrize("cls", OVERRIDING[1:])
def test_each_of_these_classes_changes_something(cls, event_storage):
    """Otherwise the test above would prove nothing."""
    stock = stock_of(cls)
    plain = stock_of(FastRCNNOutputLayers)
    plain.load_state_dict(stock.state_dict())
    features, proposals = torch.randn(8, D), proposals_of([0, 1, 2, 3, 4, 4, 4, 4])
    results = []
    for predictor in (stock, plain):
        losses = predictor.losses(predictor(features), proposals)
        (found,), _ = predictor.eval().inference(predictor(features), proposals)
        results.append([*losses.values(), found.scores.sum(), found.pred_boxes.tensor.sum()])
    assert any(not torch.allclose(*pair) for pair in zip(*results, strict=True))


@pytest.mark.parametrize("cls", OVERRIDING[1:])
def test_another_loss_may_be_installed_later(cls, event_storage):
    """On our predictor, whose class is of both."""
    once = installed(stock_of(cls))
    twice = installed(once)
    assert type(twice) is type(once)
    features, proposals = torch.randn(8, D), proposals_of([0, 1, 2, 3, 4, 4, 4, 4])
    (expected,), _ = once.eval().inference(once(features), proposals)
    (actual,), _ = twice.eval().inference(twice(features), proposals)
    assert actual.scores.equal(expected.scores)
    assert actual.pred_boxes.tensor.equal(expected.pred_boxes.tensor)


class HeadsWithTheirOwn(StandardROIHeads):
    """As CenterNet2's: ROI heads that build a predictor of their own class."""

    @classmethod
    def _init_box_head(cls, cfg, input_shape):
        parts = super()._init_box_head(cfg, input_shape)
        return {**parts, "box_predictor": ShiftedBoxes(cfg, parts["box_head"].output_shape)}


class LTHeadsWithTheirOwn(LTROIHeads, HeadsWithTheirOwn):
    pass


def test_our_roi_heads_before_those_of_others_keep_their_predictors_class(tiny_cfg):
    shapes = {f"p{i}": ShapeSpec(channels=16, stride=2**i) for i in range(2, 6)}
    torch.manual_seed(0)
    theirs = HeadsWithTheirOwn(tiny_cfg, shapes).state_dict()
    torch.manual_seed(0)
    heads = LTHeadsWithTheirOwn(tiny_cfg, shapes)
    predictor = heads.box_predictor
    assert isinstance(predictor, LTFastRCNNOutputLayers)
    assert type(predictor).predict_boxes is ShiftedBoxes.predict_boxes
    ours = heads.state_dict()
    assert all(ours[name].equal(value) for name, value in theirs.items())


def test_modules_and_parameters_of_the_class_stay():
    stock = stock_of(GatedFeatures)
    ours = installed(stock)
    state = ours.state_dict()
    assert all(state[name].equal(value) for name, value in stock.state_dict().items())
    assert {name for name, _ in ours.named_parameters()} == {n for n, _ in stock.named_parameters()}
    assert copy.deepcopy(ours).gate.weight.equal(stock.gate.weight)


def test_an_augmentation_behind_a_forward_of_its_own_is_refused():
    memory = FeatureMemoryAugmentation(K, D)
    with pytest.raises(ValueError, match=r"GatedFeatures: its own `forward`.*FeatureMemory"):
        installed(stock_of(GatedFeatures), feature_augmentation=memory)
    installed(stock_of(TimesObjectness), feature_augmentation=memory)


@pytest.mark.parametrize(
    ("classifier", "message"),
    [
        (
            nn.Sequential(nn.Linear(D, D), nn.Linear(D, K + 1)),
            r"`weight` of \(logits, features\).*got Sequential.*forward.*reset\(bias\)",
        ),
        (nn.LayerNorm(K + 1), r"`weight` of \(logits, features\).*got LayerNorm"),
        (nn.Linear(D, K), "of the 5 logits of SoftmaxLoss, but it has 4"),
        (nn.Linear(D + 1, K + 1), "of the 6 features .* but Linear has 7"),
    ],
)
def test_what_a_classifier_must_have_is_said(classifier, message):
    with pytest.raises(ValueError, match=message):
        installed(stock_of(FastRCNNOutputLayers), classifier=classifier)


# --- as Detic's ---------------------------------------------------------------------------------


class ZeroShotClassifier(nn.Linear):
    def forward(self, x, classifier=None):
        return super().forward(x)


class DeticForward(FastRCNNOutputLayers):
    def forward(self, x, classifier_info=(None, None, None)):
        return super().forward(x)


class DeticLosses(FastRCNNOutputLayers):
    def losses(self, predictions, proposals, use_advanced_loss=True, classifier_info=None):
        return super().losses(predictions, proposals)


def with_layer(name, layer):
    stock = stock_of(FastRCNNOutputLayers)
    setattr(stock, name, layer)
    return stock


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: stock_of(DeticForward), "DeticForward: its `forward` takes `classifier_info`"),
        (lambda: stock_of(DeticLosses), "its `losses` takes `use_advanced_loss`, `classifier_in"),
        (
            lambda: with_layer("cls_score", ZeroShotClassifier(D, K + 1)),
            "its classifier ZeroShotClassifier is called with `classifier` beside the features",
        ),
        (
            lambda: with_layer("bbox_pred", nn.Sequential(nn.Linear(D, D), nn.Linear(D, 4))),
            "its `bbox_pred` is a Sequential, not a layer with a `weight`",
        ),
        (
            lambda: with_layer("cls_score", nn.Sequential(nn.Linear(D, K + 1))),
            "its classifier Sequential|its `cls_score` is a Sequential",
        ),
    ],
)
def test_another_protocol_is_refused_by_name(build, message):
    model = nn.ModuleDict({"first": stock_of(FastRCNNOutputLayers), "box_predictor": build()})
    before = dict(model.named_modules())
    with pytest.raises(ValueError, match=message):
        install_box_predictor(model, cls_loss=SoftmaxLoss(K))
    assert dict(model.named_modules()) == before
