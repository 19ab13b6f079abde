"""The contract of every feature augmentation: links, seeds, checkpoints, parameters, config."""

import math

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from parameter_values import own, values
from toy_augmentations import LABELS, D, K, predictor_of, run

from lt_det.config import add_lt_det_config
from lt_det.losses import BalancedSigmoidLoss, BalancedSoftmaxLoss, SigmoidLoss, SoftmaxLoss
from lt_det.modeling import FEATURE_AUGMENTATION_REGISTRY, install_box_predictor
from lt_det.modeling.find_predictors import box_predictors
from lt_det.registry import hyper_parameters, node_name

METHODS = own(FEATURE_AUGMENTATION_REGISTRY)
every_method = pytest.mark.parametrize("cls", METHODS, ids=lambda cls: cls.__name__)
# With what rows come from the first step on, where the defaults wait.
EAGER = {"FASAAugmentation": {"warmup": 0, "scale": 1e9}}
# Beside what every parameter has an effect: rows drawn so seldom that no probability is cut at 1.
BESIDE = {"FASAAugmentation": {"scale": 0.9, "draws": 2}}
# Parameter -> (another value than the default, values without meaning).
PARAMETERS = {
    "FASAAugmentation": {
        "momentum": (0.5, [0.0, 1.5, math.nan]),
        "weight": (0.3, [-1.0, math.inf]),
        "power": (0.5, [-1.0, math.nan]),
        "scale": (0.5, [-0.1, math.inf]),
        "up": (2.0, [-1.0, math.nan]),
        "down": (0.2, [-1.0, math.nan]),
        "warmup": (3, [-1]),
        "draws": (3, [0]),
        "groups": ("class", ["classes"]),
    },
    "FeatureMemoryAugmentation": {
        "size": (2, [0]),
        "classes": (3, [0]),
        "samples": (2, [0]),
        "momentum": (0.1, [-0.1, 1.0, math.nan]),
        "initial_score": (0.7, [0.0, 1.1, math.nan]),
        "dtype": ("float32", ["float64"]),
    },
}


WHERE = "PARAMETERS in tests/modeling/feature_augmentations/test_feature_augmentation_contract.py"


def method(cls, **options):
    return cls(K, D, **{**EAGER.get(cls.__name__, {}), **options})


def train(predictor, steps=4, seed=0, rate=0.1):
    """A few steps of gradient descent on random RoIs; the weights that come out."""
    for step in range(steps):
        torch.manual_seed(100 * seed + step)
        labels = torch.randint(0, K + 1, (12,)).tolist()
        run(predictor, labels, torch.randn(12, D))
        with torch.no_grad():
            for parameter in predictor.cls_score.parameters():
                parameter -= rate * parameter.grad
        if getattr(predictor.feature_augmentation, "adapts", False):
            predictor.feature_augmentation.adapt(torch.rand(K), predictor.cls_loss.class_stats)
    return predictor.cls_score.weight.detach().clone()


@every_method
@pytest.mark.parametrize(
    "loss", [SoftmaxLoss, SigmoidLoss, BalancedSoftmaxLoss, BalancedSigmoidLoss]
)
def test_trains_under_every_link_and_odd_batches(cls, loss, class_stats, event_storage):
    predictor = predictor_of(loss(K, class_stats), method(cls))
    for labels in (LABELS, [4, 4], [], [2], LABELS):
        losses = run(predictor, labels)
        assert all(value.isfinite() for value in losses.values())
        assert all(p.grad is None or p.grad.isfinite().all() for p in predictor.parameters())
    plain = predictor_of(loss(K, class_stats))
    assert not train(predictor).equal(train(plain))


@every_method
def test_repeats_by_the_seed(cls, class_stats, event_storage):
    runs = [
        train(predictor_of(SoftmaxLoss(K, class_stats), method(cls)), seed=seed)
        for seed in (0, 0, 1)
    ]
    assert runs[0].equal(runs[1])
    assert not runs[0].equal(runs[2])


def rows_of_a_step(cls, stats):
    """The rows of a method's third step."""
    augmentation = method(cls)
    data = torch.Generator().manual_seed(1)
    for _ in range(3):
        features = torch.randn(40, D, generator=data)
        labels = torch.randint(K, (40,), generator=data)
        augmentation.observe(features, labels, torch.rand(40, generator=data))
        augmentation.num_steps += 1
    return augmentation.generate(stats, torch.Generator().manual_seed(2))


@every_method
def test_rows_are_features_of_classes_with_weights(cls, class_stats):
    rows = rows_of_a_step(cls, SoftmaxLoss(K, class_stats).class_stats)
    number = len(rows.gt_classes)
    assert number > 0, f"add what makes {cls.__name__} generate rows at once to EAGER in this file"
    assert rows.features.shape == (number, D)
    assert rows.weights.shape == (number,)
    assert not rows.features.requires_grad
    assert rows.features.isfinite().all()
    assert ((rows.gt_classes >= 0) & (rows.gt_classes < K)).all()
    assert ((rows.weights >= 0) & rows.weights.isfinite()).all()


@every_method
def test_the_generator_is_the_only_source_of_randomness(cls, class_stats):
    """Ranks have other global states, and have to draw the same rows."""
    stats = SoftmaxLoss(K, class_stats).class_stats
    torch.manual_seed(0)
    first = rows_of_a_step(cls, stats)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    second = rows_of_a_step(cls, stats)
    assert torch.random.get_rng_state().equal(before)
    for name in ("features", "gt_classes", "weights"):
        assert getattr(first, name).equal(getattr(second, name)), name


@every_method
def test_a_resumed_training_goes_on_as_if_nothing_had_been(cls, class_stats, event_storage):
    whole = predictor_of(SoftmaxLoss(K, class_stats), method(cls))
    train(whole)
    resumed = predictor_of(SoftmaxLoss(K, class_stats), method(cls))
    resumed.load_state_dict(whole.state_dict(), strict=True)
    assert train(resumed, seed=7).equal(train(whole, seed=7))


@every_method
def test_other_checkpoints_load_without_a_word(cls, class_stats):
    predictor = predictor_of(SoftmaxLoss(K, class_stats), method(cls))
    before = {k: v.clone() for k, v in predictor.feature_augmentation.state_dict().items()}
    result = predictor.load_state_dict(
        predictor_of(SoftmaxLoss(K, class_stats)).state_dict(), False
    )
    assert not result.missing_keys
    assert before
    for key, value in predictor.feature_augmentation.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0, equal_nan=True)


@every_method
def test_under_autocast(cls, class_stats, event_storage):
    predictor = predictor_of(SoftmaxLoss(K, class_stats), method(cls))
    with torch.autocast("cpu", torch.bfloat16):
        for _ in range(2):
            loss = run(predictor, features=torch.randn(7, D).bfloat16())["loss_cls"]
    assert loss.dtype == torch.float32
    assert loss.isfinite()


@every_method
def test_every_parameter_counts(cls, class_stats, event_storage):
    base = BESIDE.get(cls.__name__, {})
    default = train(predictor_of(SoftmaxLoss(K, class_stats), method(cls, **base)), steps=25)
    for name, (value, _) in values(cls, PARAMETERS, WHERE).items():
        augmentation = method(cls, **{**base, name: value})
        other = train(predictor_of(SoftmaxLoss(K, class_stats), augmentation), steps=25)
        assert not other.equal(default), name


@every_method
def test_values_without_meaning_are_named(cls):
    for name, (_, invalid) in values(cls, PARAMETERS, WHERE).items():
        for value in invalid:
            with pytest.raises(ValueError, match=rf"`{name}`.*{value}"):
                cls(K, D, **{name: value})


@every_method
def test_config_node_has_the_keyword_only_parameters(cls):
    cfg = get_cfg()
    add_lt_det_config(cfg)
    node = cfg.MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION[node_name(cls, "Augmentation")]
    assert dict(node) == {name.upper(): value for name, value in hyper_parameters(cls).items()}


@every_method
@pytest.mark.parametrize("heads", ["LTStandardROIHeads", "LTCascadeROIHeads", "installed"])
def test_is_built_from_the_config(cls, heads, tiny_cfg):
    tiny_cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads" if heads == "installed" else heads
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG = True
    tiny_cfg.MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION.NAME = cls.__name__
    model = build_model(tiny_cfg)
    if heads == "installed":
        install_box_predictor(model, tiny_cfg)
    predictors = list(box_predictors(model))
    assert len(predictors) == (3 if heads == "LTCascadeROIHeads" else 1)
    for predictor in predictors:
        assert type(predictor.feature_augmentation) is cls
        assert predictor.feature_augmentation.feature_size == 32
    assert len({id(p.feature_augmentation) for p in predictors}) == len(predictors)
