"""Classifier layers: the registry's contract, and cosine against a loop."""

import copy
import math

import pytest
import torch
from detectron2.config import get_cfg
from parameter_values import own, values
from torch import nn

from lt_det.config import add_lt_det_config
from lt_det.losses import SoftmaxLoss
from lt_det.modeling.build import build_classifier
from lt_det.modeling.classifiers.base import CLASSIFIER_REGISTRY, CosineClassifier, LinearClassifier
from lt_det.registry import hyper_parameters, node_name

CLASSIFIERS = own(CLASSIFIER_REGISTRY)
# Parameter -> (another value than the default, values without meaning).
PARAMETERS = {
    "CosineClassifier": {
        "scale": (5.0, [0.0, -1.0, math.nan, math.inf]),
        "learned_scale": (True, []),
    },
    "LearnedScaleClassifier": {"scale_bias": (True, [])},
}
WHERE = "PARAMETERS in tests/modeling/classifiers/test_classifiers.py"
K, C, D = 3, 4, 6
# Any loss of C logits.
LOSS = SoftmaxLoss(K)


@pytest.mark.parametrize("cls", CLASSIFIERS, ids=lambda cls: cls.__name__)
class TestEveryClassifier:
    @pytest.mark.parametrize("num_rois", [0, 1, 7])
    def test_shape_and_gradient(self, cls, num_rois):
        layer = cls(D, C, K).double()
        features = torch.randn(num_rois, D, dtype=torch.float64, requires_grad=True)
        logits = layer(features)
        assert logits.shape == (num_rois, C)
        logits.square().sum().backward()
        assert features.grad.isfinite().all()
        trainable = [p for p in layer.parameters() if p.requires_grad]
        assert all(p.grad.isfinite().all() for p in trainable)
        if num_rois:
            assert torch.autograd.gradcheck(layer, features.detach().requires_grad_())

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
    def test_dead_features_are_finite(self, cls, dtype):
        """After a ReLU a RoI's features may all be zero."""
        features = torch.zeros(3, D, dtype=dtype, requires_grad=True)
        logits = cls(D, C, K).to(dtype)(features)
        assert logits.isfinite().all()
        if dtype != torch.float16:
            logits.sum().backward()
            assert features.grad.isfinite().all()

    @pytest.mark.parametrize("bias", [0.0, -4.6])
    def test_reset_starts_anew(self, cls, bias):
        layer = cls(300, 400, 399)
        first = copy.deepcopy(layer.state_dict())
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.fill_(3.0)
        layer.reset(bias)
        assert (layer.bias == bias).all()
        assert not layer.weight.equal(first["weight"])
        assert layer.weight.mean().abs() < 1e-4
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.02)
        others = set(first) - {"weight", "bias"}
        assert all(layer.state_dict()[key].equal(first[key]) for key in others)

    def test_takes_the_place_of_a_linear_layer(self, cls):
        """Stock checkpoints have cls_score.weight and .bias of these shapes."""
        state = cls(D, C, K).state_dict()
        assert state["weight"].shape == (C, D)
        assert state["bias"].shape == (C,)

    def test_state_dict_round_trip(self, cls):
        trained, fresh = cls(D, C, K), cls(D, C, K)
        fresh.load_state_dict(trained.state_dict())
        features = torch.randn(5, D)
        assert fresh(features).equal(trained(features))

    def test_config_node_has_the_keyword_only_parameters(self, cls):
        cfg = get_cfg()
        add_lt_det_config(cfg)
        node = cfg.MODEL.ROI_BOX_HEAD.CLASSIFIER[node_name(cls, "Classifier")]
        assert dict(node) == {name.upper(): v for name, v in hyper_parameters(cls).items()}

    def test_every_parameter_changes_something(self, cls):
        for name, (value, _) in values(cls, PARAMETERS, WHERE).items():
            cfg = get_cfg()
            add_lt_det_config(cfg)
            cfg.MODEL.ROI_BOX_HEAD.CLASSIFIER.NAME = cls.__name__
            default = self.fingerprint(build_classifier(cfg, D, LOSS))
            node = cfg.MODEL.ROI_BOX_HEAD.CLASSIFIER[node_name(cls, "Classifier")]
            node[name.upper()] = value
            assert self.fingerprint(build_classifier(cfg, D, LOSS)) != default, name

    def fingerprint(self, layer):
        torch.manual_seed(0)
        layer.reset(0.5)
        trainable = [name for name, p in layer.named_parameters() if p.requires_grad]
        with torch.no_grad():
            for name, parameter in layer.named_parameters():
                if name.startswith("foreground_map."):
                    parameter.add_(1)
        return trainable, layer(torch.randn(3, D)).tolist()

    def test_invalid_values_are_named(self, cls):
        for name, (_, invalid) in values(cls, PARAMETERS, WHERE).items():
            for value in invalid:
                with pytest.raises(ValueError, match=f"`{name}`.*{value}"):
                    cls(D, C, K, **{name: value})


def test_linear_is_torchs():
    layer = LinearClassifier(D, C)
    stock = nn.Linear(D, C)
    stock.load_state_dict(layer.state_dict())
    features = torch.randn(5, D)
    assert layer(features).equal(stock(features))


def test_cosine_equals_a_loop():
    layer = CosineClassifier(D, C, scale=7.0).double()
    layer.reset(-1.5)
    features = torch.randn(5, D, dtype=torch.float64)
    logits = layer(features)
    for i, h in enumerate(features.tolist()):
        for j, w in enumerate(layer.weight.tolist()):
            product = sum(a * b for a, b in zip(h, w, strict=True))
            cosine = product / (math.hypot(*h) * math.hypot(*w))
            assert logits[i, j].item() == pytest.approx(7 * cosine - 1.5, rel=1e-12)


def test_cosine_ignores_lengths():
    layer = CosineClassifier(D, C).double()
    features = torch.randn(5, D, dtype=torch.float64)
    logits = layer(features)
    torch.testing.assert_close(layer(100 * features), logits)
    with torch.no_grad():
        layer.weight.mul_(torch.tensor([[1.0], [10.0], [0.1], [5.0]]))
    torch.testing.assert_close(layer(features), logits)
    assert (logits.abs() <= 20).all()


def test_scale_trains_only_if_it_is_learned():
    fixed, learned = (CosineClassifier(D, C, learned_scale=v) for v in (False, True))
    for layer in (fixed, learned):
        layer(torch.randn(3, D)).square().sum().backward()
    assert fixed.scale.grad is None
    assert learned.scale.grad.abs() > 0


def test_unknown_classifier_lists_what_exists():
    cfg = get_cfg()
    add_lt_det_config(cfg)
    cfg.MODEL.ROI_BOX_HEAD.CLASSIFIER.NAME = "Cosine"
    expected = "CLASSIFIER.NAME 'Cosine'.*CosineClassifier, .*, LinearClassifier"
    with pytest.raises(ValueError, match=expected):
        build_classifier(cfg, D, LOSS)


def test_outside_classifier_gets_its_keys():
    @CLASSIFIER_REGISTRY.register()
    class ScaledClassifier(LinearClassifier):
        """z = factor W h + b."""

        def __init__(self, input_size, num_logits, num_classes, *, factor: float = 2.0):
            super().__init__(input_size, num_logits)
            self.factor = factor

    try:
        cfg = get_cfg()
        add_lt_det_config(cfg)
        cfg.MODEL.ROI_BOX_HEAD.CLASSIFIER.NAME = "ScaledClassifier"
        cfg.MODEL.ROI_BOX_HEAD.CLASSIFIER.SCALED.FACTOR = 3.0
        assert build_classifier(cfg, D, LOSS).factor == 3.0
    finally:
        CLASSIFIER_REGISTRY._obj_map.pop("ScaledClassifier")
