"""The contract of a loss (lt_det/losses/base.py), for everything in the registry: its values."""

import copy

import numpy as np
import pytest
import torch
from contract import (
    DETACHED,
    K,
    R,
    check_finite,
    every_variant,
    inputs,
    mask_of,
    permuted_columns,
    value_and_gradient,
)

from lt_det.class_stats import ClassStats

# --- finite ------------------------------------------------------------------------------------


@every_variant
@pytest.mark.parametrize("num_rois", [0, 1, R])
def test_finite_for_any_number_of_rois(cls, hyper, num_rois, class_stats):
    loss = cls(K, class_stats, **hyper)
    check_finite(loss, *inputs(loss, num_rois))


@every_variant
@pytest.mark.parametrize("label", [0, K - 1, K])
def test_finite_for_one_label_only(cls, hyper, label, class_stats):
    loss = cls(K, class_stats, **hyper)
    logits, _ = inputs(loss)
    check_finite(loss, logits, torch.full((R,), label))


@every_variant
@pytest.mark.parametrize("factor", [1.0, 1e4])
def test_finite_for_zero_counts(cls, hyper, factor):
    zeros = ClassStats(K, 50, np.array([50, 0, 3, 0]), np.array([70, 0, 3, 0]))
    loss = cls(K, zeros, **hyper)
    logits, gt_classes = inputs(loss)
    check_finite(loss, factor * logits, gt_classes)
    all_zeros = cls(K, ClassStats(K, 50, np.zeros(K), np.zeros(K)), **hyper)
    check_finite(all_zeros, factor * logits, gt_classes)


@every_variant
@pytest.mark.parametrize("count", [0, 1, 1000])
def test_finite_for_one_class(cls, hyper, count):
    loss = cls(1, ClassStats(1, max(count, 1), np.array([count]), np.array([3 * count])), **hyper)
    check_finite(loss, *inputs(loss))


@every_variant
def test_finite_for_a_data_set_of_one_image(cls, hyper):
    loss = cls(K, ClassStats(K, 1, np.array([1, 1, 0, 1]), np.array([5, 1, 0, 1])), **hyper)
    check_finite(loss, *inputs(loss))


@every_variant
def test_empty_batch_has_a_gradient(cls, hyper, class_stats):
    """A rank without RoIs must still take part in the backward pass."""
    loss = cls(K, class_stats, **hyper)
    weight = torch.randn(loss.num_logits, 3, requires_grad=True)
    logits = torch.zeros(0, 3) @ weight.T
    loss(logits, torch.zeros(0, dtype=torch.long)).sum().backward()
    assert (weight.grad == 0).all()


# --- correct -----------------------------------------------------------------------------------


@every_variant
def test_backward_reaches_every_roi(cls, hyper, class_stats):
    loss = cls(K, class_stats, **hyper)
    logits, gt_classes = inputs(loss)
    _, gradient = value_and_gradient(loss, logits / 3, gt_classes)  # where no link is clamped
    assert (gradient.abs().sum(dim=1) > 0).all()


@every_variant
def test_gradient_is_the_derivative(cls, hyper, class_stats):
    if cls.__name__ in DETACHED:
        pytest.skip("its weights have no gradient, which its own tests check")
    loss = cls(K, class_stats, **hyper)
    logits, gt_classes = inputs(loss)
    mask = mask_of(loss, gt_classes)
    assert torch.autograd.gradcheck(
        lambda z: loss(z, gt_classes, mask), logits.requires_grad_(), atol=1e-6
    )


@every_variant
def test_float32_agrees_with_float64(cls, hyper, class_stats):
    loss = cls(K, class_stats, **hyper)
    logits, gt_classes = inputs(loss, dtype=torch.float32)
    single, single_gradient = value_and_gradient(loss, logits, gt_classes)
    double, double_gradient = value_and_gradient(loss, logits.double(), gt_classes)
    assert single.dtype == single_gradient.dtype == torch.float32
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(single_gradient.double(), double_gradient, rtol=1e-5, atol=1e-6)


@every_variant
def test_permuting_rois_permutes_losses(cls, hyper, class_stats):
    loss = cls(K, class_stats, **hyper)
    logits, gt_classes = inputs(loss)
    mask = mask_of(loss, gt_classes)
    order = torch.randperm(R)
    value = loss(logits, gt_classes, mask)
    permuted = loss(logits[order], gt_classes[order], None if mask is None else mask[order])
    torch.testing.assert_close(permuted, value[order], rtol=1e-12, atol=1e-12)


@every_variant
def test_permuting_classes_with_their_counts_changes_nothing(cls, hyper, class_stats):
    order = torch.tensor([2, 0, 3, 1])  # new class i is old class order[i]
    permuted_stats = ClassStats(
        K,
        class_stats.num_images,
        class_stats.image_count[order.numpy()],
        class_stats.instance_count[order.numpy()],
    )
    loss, permuted = cls(K, class_stats, **hyper), cls(K, permuted_stats, **hyper)
    logits, gt_classes = inputs(loss)
    columns = torch.cat([order, torch.arange(K, loss.num_logits)])
    new_label = torch.cat([order.argsort(), torch.tensor([K])])
    loss.update_state(logits, gt_classes)
    permuted.update_state(logits[:, columns], new_label[gt_classes])
    mask = mask_of(loss, gt_classes)
    torch.testing.assert_close(
        permuted(
            logits[:, columns],
            new_label[gt_classes],
            permuted_columns(mask, columns),
        ),
        loss(logits, gt_classes, mask),
        rtol=1e-12,
        atol=1e-12,
    )
    torch.testing.assert_close(
        permuted.predict_probs(logits[:, columns]),
        loss.predict_probs(logits)[:, torch.cat([order, torch.tensor([K])])],
        rtol=1e-12,
        atol=1e-12,
    )


@every_variant
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_probabilities(cls, hyper, dtype, class_stats):
    loss = cls(K, class_stats, **hyper)
    logits, _ = inputs(loss, dtype=dtype)
    for scaled in (logits, 1e4 * logits):
        probs = loss.predict_probs(scaled)
        assert probs.shape == (R, K + 1)
        assert probs.dtype == dtype
        assert ((probs >= 0) & (probs <= 1)).all()


@every_variant
def test_a_larger_logit_is_a_larger_probability(cls, hyper, class_stats):
    loss = cls(K, class_stats, **hyper)
    logits, _ = inputs(loss)
    logits = logits.clamp(-4, 4)  # where no link is 0 or 1 in floating point
    for class_id in range(K):
        raised = logits.clone()
        raised[:, class_id] += 1
        difference = loss.predict_probs(raised) - loss.predict_probs(logits)
        assert (difference[:, class_id] > 0).all()


# --- pure --------------------------------------------------------------------------------------


@every_variant
def test_forward_is_pure(cls, hyper, class_stats):
    loss = cls(K, class_stats, **hyper)
    logits, gt_classes = inputs(loss)
    mask = mask_of(loss, gt_classes)
    before = copy.deepcopy((logits, gt_classes, mask, loss.state_dict()))
    torch_state = torch.random.get_rng_state()
    first = loss(logits, gt_classes, mask)
    second = loss(logits, gt_classes, mask)
    loss.predict_probs(logits)
    assert first.equal(second)
    assert torch.random.get_rng_state().equal(torch_state)
    assert logits.equal(before[0])
    assert gt_classes.equal(before[1])
    assert mask is None or mask.equal(before[2])
    after = loss.state_dict()
    assert after.keys() == before[3].keys()
    assert all(after[key].equal(value) for key, value in before[3].items())


@every_variant
def test_mode_changes_nothing(cls, hyper, class_stats):
    loss = cls(K, class_stats, **hyper)
    logits, gt_classes = inputs(loss)
    mask = mask_of(loss, gt_classes)
    assert loss.train()(logits, gt_classes, mask).equal(loss.eval()(logits, gt_classes, mask))


@every_variant
def test_mask_is_reproducible(cls, hyper, class_stats):
    loss = cls(K, class_stats, **hyper)
    _, gt_classes = inputs(loss)
    first, second = mask_of(loss, gt_classes), mask_of(loss, gt_classes)
    if first is None:
        assert second is None
    else:
        # A row's own factor is a column more, or the only one.
        assert first.shape[0] == R
        assert first.shape[1] in (loss.num_logits, loss.num_logits + 1, 1)
        assert first.equal(second)


@every_variant
def test_update_state_has_no_gradient(cls, hyper, class_stats):
    loss = cls(K, class_stats, **hyper)
    logits, gt_classes = inputs(loss)
    assert loss.update_state(logits.requires_grad_(), gt_classes) is None
    assert not any(b.requires_grad for b in loss.buffers())
