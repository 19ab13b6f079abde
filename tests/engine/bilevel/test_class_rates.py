"""Class rates: weights, their chain rule against closed forms, and the whole chain by autograd."""

import math
from dataclasses import replace

import pytest
import torch
from bilevel_oracles import outer_loss_by_graph, relative_error
from bilevel_problems import OPTIONS, K, hypergradients, make_optimizer, make_stage
from contract import LOSSES

from lt_det.engine.bilevel.class_rates import (
    class_weights,
    foreground_count,
    rate_gradient,
    rescale_hypergradient,
    roi_weights,
    sum_by_class,
    sum_by_index,
)
from lt_det.engine.bilevel.look_ahead import LookAhead
from lt_det.modeling.classifiers.base import CosineClassifier, LinearClassifier

# Class 3 has no RoI.
LABELS = torch.tensor([0, K, 1, 0, 2, K, 0, 1, K])
PHI = torch.tensor([-1.0, 0.5, 2.0, 0.3], dtype=torch.float64)
RELEASED = pytest.mark.parametrize("released", [True, False], ids=["released", "paper"])


def count_of(labels, released):
    return foreground_count(labels, K) if released else None


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def weights_in_a_loop(phi, labels, released):
    """algorithms.md b.1: rho_y R_f / sum_FG rho as released, rho_y in the paper; background 1."""
    rates = [sigmoid(v) for v in phi.tolist()]
    of_foreground = [rates[y] for y in labels.tolist() if y < K]
    scale = len(of_foreground) / sum(of_foreground) if released else 1
    return [rates[y] * scale if y < K else 1.0 for y in labels.tolist()]


@RELEASED
def test_weights(released):
    actual = roi_weights(PHI, LABELS, count_of(LABELS, released))
    assert actual.tolist() == pytest.approx(weights_in_a_loop(PHI, LABELS, released), rel=1e-14)


def test_released_weights_share_out_a_fixed_total():
    weights = roi_weights(PHI, LABELS, foreground_count(LABELS, K))
    assert weights[LABELS < K].mean().item() == pytest.approx(1, rel=1e-14)
    assert (weights[LABELS == K] == 1).all()


def test_equal_rates_are_plain_training_as_released_and_half_weight_in_the_paper():
    zeros = torch.zeros(K, dtype=torch.float64)
    assert (roi_weights(zeros, LABELS, foreground_count(LABELS, K)) == 1).all()
    assert roi_weights(zeros, LABELS).equal(torch.where(LABELS < K, 0.5, 1.0).double())
    level = roi_weights(zeros - 3, LABELS, foreground_count(LABELS, K))
    torch.testing.assert_close(level, torch.ones_like(level), rtol=1e-14, atol=0)


@pytest.mark.parametrize("labels", [torch.full((4,), K), torch.zeros(0, dtype=torch.long)])
@RELEASED
def test_without_foreground(labels, released):
    count = count_of(labels, released)
    assert roi_weights(PHI, labels, count).equal(torch.ones(len(labels), dtype=torch.float64))
    class_hypergradient = sum_by_class(torch.randn(len(labels)).double(), labels, K)
    assert (rate_gradient(PHI, class_hypergradient, count) == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_rates_are_finite(dtype):
    phi = torch.tensor([-200.0, -200.0, -200.0, 200.0], dtype=dtype)
    count = foreground_count(LABELS, K)
    assert class_weights(phi, count).tolist() == pytest.approx([1, 1, 1, 0])
    assert rate_gradient(phi, torch.randn(K, dtype=dtype), count).isfinite().all()


@RELEASED
def test_rate_gradient_equals_the_closed_form_in_a_loop(released):
    """b.3: (R_f / S) rho (1 - rho) sum_{y_i = c} (a_i - mean), weighted mean; paper: without."""
    a = torch.randn(len(LABELS), dtype=torch.float64)
    count = count_of(LABELS, released)
    actual = rate_gradient(PHI, sum_by_class(a, LABELS, K), count)
    rates = [sigmoid(v) for v in PHI.tolist()]
    foreground = [(y, v) for y, v in zip(LABELS.tolist(), a.tolist(), strict=True) if y < K]
    total = sum(rates[y] for y, _ in foreground)
    mean = sum(rates[y] * v for y, v in foreground) / total if released else 0
    scale = len(foreground) / total if released else 1
    for c in range(K):
        own = sum(v - mean for y, v in foreground if y == c)
        expected = scale * rates[c] * (1 - rates[c]) * own
        assert actual[c].item() == pytest.approx(expected, rel=1e-12, abs=1e-16)
    assert actual[3] == 0


def test_a_common_factor_of_all_rates_has_no_gradient_as_released():
    """The weights do not change when every rate is scaled: d/dphi (1 - rho)^-1 sums to zero."""
    gradient = rate_gradient(PHI, torch.randn(K).double(), foreground_count(LABELS, K))
    along = (gradient / (1 - PHI.sigmoid())).sum()
    assert abs(along) < 1e-14 < gradient.abs().max()


def test_two_ranks_add_up():
    a = torch.randn(len(LABELS), dtype=torch.float64)
    ranks = (slice(0, 4), slice(4, None))
    count = sum(foreground_count(LABELS[rows], K) for rows in ranks)
    sums = sum(sum_by_class(a[rows], LABELS[rows], K) for rows in ranks)
    weights = torch.cat([roi_weights(PHI, LABELS[rows], count) for rows in ranks])
    whole = foreground_count(LABELS, K)
    assert weights.equal(roi_weights(PHI, LABELS, whole))
    torch.testing.assert_close(
        rate_gradient(PHI, sums, count),
        rate_gradient(PHI, sum_by_class(a, LABELS, K), whole),
        rtol=1e-13,
        atol=1e-16,
    )


def test_sums_by_image():
    values, image = torch.tensor([1.0, 2.0, 4.0, 8.0]), torch.tensor([2, 0, 2, 0])
    assert sum_by_index(values, image, 3).tolist() == [10.0, 0.0, 5.0]


@pytest.mark.parametrize("cls", LOSSES, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("classifier", [LinearClassifier, CosineClassifier])
@pytest.mark.parametrize("option", ["sgd", "all-clip-norm", "all-clip-value", "adamw"])
@pytest.mark.parametrize("num_stages", [1, 3], ids=["mask-rcnn", "cascade"])
@RELEASED
def test_the_whole_chain_equals_autograd(
    cls, classifier, option, num_stages, released, class_stats
):
    """From phi through weights, losses, step and outer losses of all stages, and back."""
    stages = [make_stage(cls(K, class_stats), classifier, 12 - 2 * k) for k in range(num_stages)]
    counts = [count_of(stage.gt_classes, released) for stage in stages]
    stages = [
        replace(s, weights=roi_weights(PHI, s.gt_classes, count))
        for s, count in zip(stages, counts, strict=True)
    ]
    optimizer, clip = make_optimizer(stages, OPTIONS[option])
    actual = sum(
        rate_gradient(PHI, sum_by_class(a, stage.gt_classes, K), count)
        for a, stage, count in zip(
            hypergradients(stages, optimizer, clip), stages, counts, strict=True
        )
    )
    phi = PHI.clone().requires_grad_()
    graph_stages = []
    for stage in stages:
        rates = torch.cat([1 / (1 + (-phi).exp()), phi.new_ones(1)])
        weights = rates[stage.gt_classes]
        foreground = stage.gt_classes < K
        if released:
            weights = torch.where(foreground, weights / weights[foreground].mean(), weights)
        graph_stages.append(replace(stage, weights=weights))
    outer = outer_loss_by_graph(graph_stages, optimizer, clip)
    (expected,) = torch.autograd.grad(outer, phi)
    assert relative_error([actual], [expected]) <= 1e-10


@pytest.mark.parametrize("option", ["sgd", "nesterov", "dampening"])
def test_rescaling_takes_learning_rate_batch_size_and_momentum_out(option, class_stats):
    """For a fixed outer gradient the result is the sum of <delta_i, J_i Gamma>, whatever eta is."""
    stage = make_stage(LOSSES[0](K, class_stats), LinearClassifier)
    results = []
    for lr in (0.3, 0.003):
        optimizer, _ = make_optimizer([stage], OPTIONS[option])
        for group in optimizer.param_groups:
            group["lr"] = lr
        look_ahead = LookAhead.from_optimizer(optimizer, stage.parameters)
        gamma = {name: torch.ones_like(p) for name, p in stage.parameters.items()}
        direction = look_ahead.pull_back(stage.parameters, gamma, gamma)
        results.append(
            rescale_hypergradient(direction["weight"] / 12, normaliser=12, gain=look_ahead.gain)
        )
    for result in results:
        torch.testing.assert_close(result, -torch.ones_like(result), rtol=1e-13, atol=0)


def test_rescaling_at_a_learning_rate_of_zero():
    zeros = torch.zeros(K)
    assert rescale_hypergradient(zeros, normaliser=512, gain=0.0).equal(zeros)
