"""The pieces of the hypergradient: closed forms, ranks, purity, precision."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from bilevel_oracles import by_autograd, relative_error
from bilevel_problems import OPTIONS, D, K, M, every_classifier, make_optimizer, make_stage
from bilevel_problems import hypergradients as all_hypergradients
from contract import LOSSES, every_variant
from torch import nn

from lt_det.engine.bilevel.hypergradient import (
    classifier_gradient,
    classifier_logits,
    loss_and_gradient,
    outer_gradient,
    roi_hypergradient,
    trainable_parameters,
)
from lt_det.engine.bilevel.look_ahead import LookAhead
from lt_det.losses import BalancedSoftmaxLoss, SoftmaxLoss
from lt_det.modeling.classifiers.base import CosineClassifier, LinearClassifier

every_loss = pytest.mark.parametrize("cls", LOSSES, ids=lambda cls: cls.__name__)


class GeneralLinear(LinearClassifier):
    """The linear layer without its closed form."""

    def forward(self, features):
        return super().forward(features)


def stage_of(cls, class_stats, classifier=LinearClassifier, **kwargs):
    return make_stage(cls(K, class_stats), classifier, **kwargs)


def delta_of(stage):
    logits = classifier_logits(stage.classifier, stage.parameters, stage.features)
    return loss_and_gradient(stage.loss, logits, stage.gt_classes, stage.mask)[1]


def direction_like(stage):
    return {name: torch.randn_like(p) for name, p in stage.parameters.items()}


# --- closed forms ------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["sgd", "nesterov", "dampening", "weight-decay-bias", "bias-lr"])
def test_linear_softmax_equals_the_closed_form_in_a_loop(option, class_stats):
    """a_i = -(eta kappa / R) sum_c delta_ic (Gamma [h_i; 1])_c with Gamma = eps^T [H'; 1] / M."""
    stage = stage_of(BalancedSoftmaxLoss, class_stats, GeneralLinear)
    optimizer, _ = make_optimizer([stage], OPTIONS[option])
    (actual,) = all_hypergradients([stage], optimizer, None)

    shift = class_stats.instance_count / class_stats.instance_count.sum() * K
    shift = torch.tensor([*map(math.log, shift), 0.0], dtype=torch.float64)
    layer, num_rois = stage.classifier, len(stage.features)
    delta = (stage.features @ layer.weight.T + layer.bias + shift).softmax(1)
    delta = (delta - F.one_hot(stage.gt_classes, K + 1)).detach()
    inner = {"weight": 0, "bias": 0}
    for v, d, h in zip(stage.weights, delta, stage.features, strict=True):
        inner["weight"] += v * torch.outer(d, h) / num_rois
        inner["bias"] += v * d / num_rois
    for name, parameter in layer.named_parameters():
        parameter.grad = inner[name]
    moved, moved_optimizer = copy.deepcopy((layer, optimizer))
    for before, after in zip(layer.parameters(), moved.parameters(), strict=True):
        after.grad = before.grad
    moved_optimizer.step()
    probs = (stage.meta_features @ moved.weight.T + moved.bias).softmax(1).detach()
    eps = (probs - F.one_hot(stage.meta_gt_classes, K + 1)) / M
    gamma_weight, gamma_bias = eps.T @ stage.meta_features, eps.sum(0)
    kappa = {"nesterov": 1.8, "dampening": 0.7}.get(option, 1.0)
    bias_factor = OPTIONS[option].bias_lr_factor
    for i in range(num_rois):
        product = sum(
            delta[i, c] * (gamma_weight[c] @ stage.features[i] + bias_factor * gamma_bias[c])
            for c in range(K + 1)
        )
        assert actual[i].item() == pytest.approx(-0.3 * kappa / num_rois * product.item(), rel=1e-9)


@every_loss
def test_the_fast_path_of_the_linear_layer_is_the_general_one(cls, class_stats):
    fast = stage_of(cls, class_stats)
    general = copy.deepcopy(fast)
    general.classifier = GeneralLinear(D, fast.loss.num_logits).double()
    general.classifier.load_state_dict(fast.classifier.state_dict())
    for names in (("weight", "bias"), ("weight",), ("bias",)):
        direction = {name: value for name, value in direction_like(fast).items() if name in names}
        delta = delta_of(fast)
        results = []
        for stage in (fast, general):
            parameters = {name: stage.parameters[name] for name in names}
            args = (stage.classifier, parameters, stage.features, delta)
            results.append(
                (
                    classifier_gradient(*args, stage.weights, 7.0),
                    roi_hypergradient(*args, direction, 7.0),
                )
            )
        torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-14)


@every_variant
@every_classifier
def test_stored_deltas_give_the_gradient_of_the_real_step(
    cls, hyper, classifier, settings, class_stats
):
    stage = make_stage(cls(K, class_stats, **hyper), classifier, **settings)
    for weights in (stage.weights, None):
        losses = stage.loss(stage.classifier(stage.features), stage.gt_classes, stage.mask)
        total = (losses if weights is None else weights * losses).sum() / len(losses)
        expected = torch.autograd.grad(total, list(stage.parameters.values()))
        actual = classifier_gradient(
            stage.classifier,
            stage.parameters,
            stage.features,
            delta_of(stage),
            weights,
            len(losses),
        )
        assert list(actual) == list(stage.parameters)
        torch.testing.assert_close(list(actual.values()), list(expected), rtol=1e-11, atol=1e-14)


# --- pure, distributed, precise ----------------------------------------------------------------


@every_classifier
def test_the_parts_of_two_ranks_add_up(classifier, settings, class_stats):
    stage = stage_of(BalancedSoftmaxLoss, class_stats, classifier, **settings)
    delta, parameters = delta_of(stage), stage.parameters
    direction = direction_like(stage)
    whole = slice(None)
    ranks = (slice(0, 5), slice(5, None))

    def gradient(rows):
        args = (stage.features[rows], delta[rows], stage.weights[rows], len(delta))
        return classifier_gradient(stage.classifier, parameters, *args)

    def outer(rows):
        batch = (stage.meta_features[rows], stage.meta_gt_classes[rows])
        return outer_gradient(stage.classifier, parameters, *batch, stage.outer_loss, M)

    def hyper(rows):
        args = (stage.features[rows], delta[rows], direction, len(delta))
        return roi_hypergradient(stage.classifier, parameters, *args)

    for name in parameters:
        parts = [gradient(rows)[name] for rows in ranks]
        torch.testing.assert_close(sum(parts), gradient(whole)[name], rtol=1e-12, atol=1e-14)
        parts = [outer(rows)[1][name] for rows in ranks]
        torch.testing.assert_close(sum(parts), outer(whole)[1][name], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(sum(outer(rows)[0] for rows in ranks), outer(whole)[0])
    torch.testing.assert_close(
        torch.cat([hyper(rows) for rows in ranks]), hyper(whole), rtol=1e-12, atol=1e-14
    )


@every_classifier
def test_a_rank_without_rois_adds_zeros(classifier, settings, class_stats):
    stage = stage_of(BalancedSoftmaxLoss, class_stats, classifier, **settings)
    features = stage.features[:0]
    logits = classifier_logits(stage.classifier, stage.parameters, features)
    values, delta = loss_and_gradient(stage.loss, logits, stage.gt_classes[:0])
    args = (stage.classifier, stage.parameters, features, delta)
    gradient = classifier_gradient(*args, stage.weights[:0], 12)
    assert values.shape == (0,)
    assert all((gradient[name] == 0).all() for name in stage.parameters)
    assert roi_hypergradient(*args, direction_like(stage), 12).shape == (0,)


class CountingClassifier(CosineClassifier):
    """Moves a buffer in every forward pass, as a running statistic does."""

    def __init__(self, input_size, num_logits, num_classes):
        super().__init__(input_size, num_logits)
        self.register_buffer("num_calls", torch.zeros(()))

    def forward(self, features):
        self.num_calls += 1
        return super().forward(features)


def test_nothing_of_the_model_changes(class_stats):
    stage = stage_of(BalancedSoftmaxLoss, class_stats, CountingClassifier)
    optimizer, clip = make_optimizer([stage], OPTIONS["all-clip-norm"])
    before = copy.deepcopy((stage.classifier.state_dict(), stage.loss.state_dict()))
    features, meta_features = stage.features.clone(), stage.meta_features.clone()
    (value,) = all_hypergradients([stage], optimizer, clip)
    after = (stage.classifier.state_dict(), stage.loss.state_dict())
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert features.equal(stage.features)
    assert meta_features.equal(stage.meta_features)
    assert not value.requires_grad
    assert all(p.grad is None and p.requires_grad for p in stage.parameters.values())


@pytest.mark.parametrize("classifier", [LinearClassifier, CosineClassifier])
def test_frozen_parameters_stay_as_they_are(classifier, class_stats):
    stage = stage_of(BalancedSoftmaxLoss, class_stats, classifier)
    stage.classifier.bias.requires_grad_(False)
    assert list(trainable_parameters(stage.classifier)) == ["weight"]
    optimizer, clip = make_optimizer([stage], OPTIONS["nesterov"])
    expected = by_autograd([stage], optimizer, clip)
    assert relative_error(all_hypergradients([stage], optimizer, clip), expected) <= 1e-10


def test_a_frozen_classifier_is_refused():
    layer = LinearClassifier(D, K + 1).requires_grad_(False)
    with pytest.raises(ValueError, match=r"LinearClassifier.*SOLVER.TRAINABLE_PARAMS"):
        trainable_parameters(layer)


@every_classifier
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_features_are_computed_with_in_float32(
    classifier, settings, dtype, class_stats
):
    stage = stage_of(BalancedSoftmaxLoss, class_stats, classifier, **settings)
    stage.classifier.float()
    stage.weights = stage.weights.float()
    half, single = copy.deepcopy(stage), stage
    half.features, half.meta_features = stage.features.to(dtype), stage.meta_features.to(dtype)
    single.features, single.meta_features = half.features.float(), half.meta_features.float()
    results = []
    for each in (half, single):
        torch.manual_seed(0)  # for the steps taken before
        optimizer, clip = make_optimizer([each], OPTIONS["nesterov"])
        with torch.autocast("cpu", torch.bfloat16, enabled=each is half):
            results.append(all_hypergradients([each], optimizer, clip)[0])
    assert results[0].dtype == torch.float32
    assert results[0].equal(results[1])


@pytest.mark.parametrize("normaliser", [0, -1.0, math.nan])
def test_normaliser_must_be_positive(normaliser, class_stats):
    stage = stage_of(SoftmaxLoss, class_stats)
    args = (stage.classifier, stage.parameters, stage.features, delta_of(stage))
    with pytest.raises(ValueError, match=f"`normaliser`.*{normaliser}"):
        classifier_gradient(*args, None, normaliser)
    with pytest.raises(ValueError, match=f"`normaliser`.*{normaliser}"):
        roi_hypergradient(*args, direction_like(stage), normaliser)


def test_a_step_against_the_hypergradient_lowers_the_outer_loss(class_stats):
    """The sign, seen end to end: reweigh, step, evaluate."""
    stage = stage_of(BalancedSoftmaxLoss, class_stats)
    optimizer, _ = make_optimizer([stage], OPTIONS["sgd"])
    (value,) = all_hypergradients([stage], optimizer, None)
    look_ahead = LookAhead.from_optimizer(optimizer, stage.parameters)
    args = (stage.classifier, stage.parameters, stage.features, delta_of(stage))
    outer = []
    for weights in (stage.weights, stage.weights - 0.1 * value / value.abs().max()):
        ahead = look_ahead(stage.parameters, classifier_gradient(*args, weights, 12))
        meta = (stage.meta_features, stage.meta_gt_classes, stage.outer_loss, M)
        outer.append(outer_gradient(stage.classifier, ahead, *meta)[0])
    assert outer[1] < outer[0]


def test_logits_under_other_parameters_than_the_layers_own():
    layer = nn.Linear(D, K + 1)
    parameters = {name: torch.randn_like(p) for name, p in layer.named_parameters()}
    features = torch.randn(4, D)
    logits = classifier_logits(layer, parameters, features)
    torch.testing.assert_close(logits, features @ parameters["weight"].T + parameters["bias"])
