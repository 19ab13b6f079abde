"""The look-ahead step against Detectron2's optimisers, its pull-back against closed forms."""

import copy

import pytest
import torch
from bilevel_problems import ADAMW_EPS, LR, OPTIONS, K, make_optimizer, make_stage

from lt_det.engine.bilevel.look_ahead import GradientClip, LookAhead
from lt_det.losses import BalancedSoftmaxLoss
from lt_det.modeling.classifiers.base import CosineClassifier, LinearClassifier

every_option = pytest.mark.parametrize("option", OPTIONS)
SGD_OPTIONS = [name for name, option in OPTIONS.items() if not option.adamw and not option.clip]
INF = float("inf")


def problem(option, class_stats, dtype=torch.float64):
    """Two heads' parameters, the optimiser that trains them, its clipping, and gradients."""
    loss = BalancedSoftmaxLoss(K, class_stats)
    stages = [make_stage(loss, LinearClassifier), make_stage(loss, CosineClassifier)]
    optimizer, clip = make_optimizer(stages, OPTIONS[option])
    if dtype == torch.float32:
        for stage in stages:
            stage.classifier.float()
        optimizer.load_state_dict(optimizer.state_dict())  # moves the state to the new type
    parameters = {(k, n): p for k, s in enumerate(stages) for n, p in s.parameters.items()}
    gradients = {name: torch.randn_like(p) for name, p in parameters.items()}
    return parameters, optimizer, clip, gradients


def take_real_step(parameters, optimizer, gradients):
    for name, parameter in parameters.items():
        parameter.grad = gradients[name].clone()
    optimizer.step()


@every_option
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_the_real_step(option, dtype, class_stats):
    parameters, optimizer, clip, gradients = problem(option, class_stats, dtype)
    before = {name: p.detach().clone() for name, p in parameters.items()}
    ahead = LookAhead.from_optimizer(optimizer, parameters, clip)(parameters, gradients)
    take_real_step(parameters, optimizer, gradients)
    for name, parameter in parameters.items():
        assert ahead[name].dtype == dtype
        assert not ahead[name].equal(before[name])
        assert ahead[name].equal(parameter), (ahead[name] - parameter).abs().max()


@every_option
def test_changes_nothing(option, class_stats):
    parameters, optimizer, clip, gradients = problem(option, class_stats)
    before = copy.deepcopy((parameters, optimizer.state_dict(), gradients))
    look_ahead = LookAhead.from_optimizer(optimizer, parameters, clip)
    look_ahead(parameters, gradients)
    look_ahead.pull_back(parameters, gradients, gradients)
    after = (parameters, optimizer.state_dict(), gradients)
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert all(p.grad is None for p in parameters.values())


# --- the pull-back -----------------------------------------------------------------------------


@pytest.mark.parametrize("option", SGD_OPTIONS)
def test_sgd_pulls_back_by_learning_rate_and_kappa(option, class_stats):
    """algorithms.md b.3: kappa is 1 in the first step, then 1 - d; 1 + mu with Nesterov."""
    options = OPTIONS[option]
    kappa = 1.0
    if options.nesterov:
        kappa = 1 + options.momentum
    elif options.momentum and options.steps_before:
        kappa = 1 - options.dampening
    sign = 1 if options.maximize else -1
    parameters, optimizer, _, gradients = problem(option, class_stats)
    look_ahead = LookAhead.from_optimizer(optimizer, parameters)
    gamma = {name: torch.randn_like(p) for name, p in parameters.items()}
    direction = look_ahead.pull_back(parameters, gradients, gamma)
    for name, value in direction.items():
        lr = LR * (options.bias_lr_factor if name[1] == "bias" else 1)
        expected = sign * lr * kappa * gamma[name]
        torch.testing.assert_close(value, expected, rtol=1e-13, atol=0)
    assert look_ahead.gain == pytest.approx(LR * options.bias_lr_factor * kappa, rel=1e-13)


def test_adamw_pulls_back_by_its_diagonal(class_stats):
    """d step / d g = (1 - b1) / B1 / (r + eps) - m g (1 - b2) / (B1 B2 r (r + eps)^2)."""
    parameters, optimizer, _, gradients = problem("adamw", class_stats)
    moments = {n: copy.deepcopy(optimizer.state[p]) for n, p in parameters.items()}
    look_ahead = LookAhead.from_optimizer(optimizer, parameters)
    gamma = {name: torch.randn_like(p) for name, p in parameters.items()}
    direction = look_ahead.pull_back(parameters, gradients, gamma)
    b1, b2 = 0.9, 0.999
    big_b1, big_b2 = 1 - b1**3, 1 - b2**3
    for name, g in gradients.items():
        first = b1 * moments[name]["exp_avg"] + (1 - b1) * g
        second = b2 * moments[name]["exp_avg_sq"] + (1 - b2) * g**2
        root = (second / big_b2).sqrt()
        slope = (1 - b1) / big_b1 / (root + ADAMW_EPS)
        slope -= first * g * (1 - b2) / (big_b1 * big_b2 * root * (root + ADAMW_EPS) ** 2)
        lr = LR * (2 if name[1] == "bias" else 1)
        torch.testing.assert_close(direction[name], -lr * slope * gamma[name])
    assert look_ahead.gain == pytest.approx(2 * LR * (1 - b1) / big_b1)


def sgd(parameters, **settings):
    return torch.optim.SGD(list(parameters.values()), lr=0.5, **settings)


def two_parameters():
    shapes = {"weight": (3, 2), "bias": (3,)}
    parameters = {n: torch.nn.Parameter(torch.randn(s).double()) for n, s in shapes.items()}
    gradients = {n: torch.randn(s).double() for n, s in shapes.items()}
    gamma = {n: torch.randn(s).double() for n, s in shapes.items()}
    return parameters, gradients, gamma


def test_value_clipping_masks():
    parameters, gradients, gamma = two_parameters()
    # Between two elements: on one of them the derivative would be a matter of taste.
    limit = 1.01 * float(gradients["weight"].abs().median())
    look_ahead = LookAhead.from_optimizer(sgd(parameters), parameters, GradientClip("value", limit))
    direction = look_ahead.pull_back(parameters, gradients, gamma)
    for name, g in gradients.items():
        expected = torch.where(g.abs() < limit, -0.5 * gamma[name], 0.0)
        torch.testing.assert_close(direction[name], expected, rtol=1e-13, atol=0)
    assert (direction["weight"] == 0).any()
    assert (direction["weight"] != 0).any()


@pytest.mark.parametrize("clip_type", ["norm", "full_model"])
def test_norm_clipping_projects(clip_type):
    """c/|G| (Gamma - <Gamma, G> G / |G|^2), with torch's 1e-6 beside the norm."""
    parameters, gradients, gamma = two_parameters()
    limit = 0.3 * float(min(g.norm() for g in gradients.values()))
    clip = GradientClip(clip_type, limit)
    direction = LookAhead.from_optimizer(sgd(parameters), parameters, clip).pull_back(
        parameters, gradients, gamma
    )
    blocks = [["weight", "bias"]] if clip_type == "full_model" else [["weight"], ["bias"]]
    for block in blocks:
        g = torch.cat([gradients[name].flatten() for name in block])
        outer = torch.cat([gamma[name].flatten() for name in block])
        norm = g.norm()
        factor = limit / (norm + 1e-6)
        expected = -0.5 * factor * (outer - (outer @ g) / (norm * (norm + 1e-6)) * g)
        actual = torch.cat([direction[name].flatten() for name in block])
        torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "clip", [("value", 2.0), *(("norm", p) for p in (0.5, 1.0, 2.0, 3.0, INF))]
)
def test_clipping_a_zero_gradient_is_finite(clip):
    """A class without a gradient, or a bias of one, must not become NaN."""
    parameters, gradients, gamma = two_parameters()
    gradients["weight"][:] = 0
    gradients["bias"][0] = 0
    look_ahead = LookAhead.from_optimizer(
        sgd(parameters), parameters, GradientClip(clip[0], 0.1, clip[1])
    )
    direction = look_ahead.pull_back(parameters, gradients, gamma)
    torch.testing.assert_close(direction["weight"], -0.5 * gamma["weight"])
    assert direction["bias"].isfinite().all()


def test_adamw_with_a_gradient_that_was_never_there_is_finite():
    parameters, gradients, gamma = two_parameters()
    optimizer = torch.optim.AdamW(list(parameters.values()), lr=0.5, eps=0.1)
    gradients["weight"][0] = 0
    look_ahead = LookAhead.from_optimizer(optimizer, parameters)
    direction = look_ahead.pull_back(parameters, gradients, gamma)
    # In the first step m / (|g| + eps) rises by 1 / eps at g = 0.
    torch.testing.assert_close(direction["weight"][0], -0.5 / 0.1 * gamma["weight"][0])
    assert all(value.isfinite().all() for value in direction.values())


# --- reading the optimiser ---------------------------------------------------------------------


def test_learning_rate_is_that_of_the_coming_step():
    parameters, gradients, _ = two_parameters()
    optimizer = sgd(parameters)
    optimizer.param_groups[0]["lr"] = 0.25
    ahead = LookAhead.from_optimizer(optimizer, parameters)(parameters, gradients)
    for name, value in ahead.items():
        assert value.equal(parameters[name] - 0.25 * gradients[name])


@pytest.mark.parametrize("optimizer_class", [torch.optim.Adam, torch.optim.RMSprop])
def test_other_optimisers_are_refused(optimizer_class):
    parameters, _, _ = two_parameters()
    optimizer = optimizer_class(list(parameters.values()))
    with pytest.raises(ValueError, match=f"{optimizer_class.__name__}.*'SGD', 'AdamW'"):
        LookAhead.from_optimizer(optimizer, parameters)


def test_amsgrad_is_refused():
    parameters, _, _ = two_parameters()
    optimizer = torch.optim.AdamW(list(parameters.values()), amsgrad=True)
    with pytest.raises(ValueError, match=r"`amsgrad`.*True"):
        LookAhead.from_optimizer(optimizer, parameters)


def test_clipping_that_is_not_told_is_refused(class_stats):
    parameters, optimizer, _, _ = problem("clip-norm", class_stats)
    with pytest.raises(ValueError, match=r"SGDWithGradientClip.*CLIP_GRADIENTS.*`clip`"):
        LookAhead.from_optimizer(optimizer, parameters)


def test_a_derived_optimiser_with_the_same_step_is_taken():
    class NamedSGD(torch.optim.SGD):
        pass

    parameters, gradients, _ = two_parameters()
    optimizer = NamedSGD(list(parameters.values()), lr=0.5)
    ahead = LookAhead.from_optimizer(optimizer, parameters)(parameters, gradients)
    take_real_step(parameters, optimizer, gradients)
    assert all(ahead[name].equal(p) for name, p in parameters.items())


def test_a_parameter_the_optimiser_does_not_train_is_named():
    parameters, _, _ = two_parameters()
    optimizer = sgd({"weight": parameters["weight"]})
    with pytest.raises(ValueError, match="does not train 'bias'"):
        LookAhead.from_optimizer(optimizer, parameters)


def test_unknown_clipping_is_refused():
    with pytest.raises(ValueError, match=r"`clip_type`.*'norms'.*CLIP_TYPE"):
        GradientClip("norms", 1.0)
