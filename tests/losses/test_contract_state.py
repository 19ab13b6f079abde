"""The contract of a loss: devices, precision, checkpoints, class statistics."""

import copy

import numpy as np
import pytest
import torch
from contract import LOSSES, K, every_loss, every_variant, inputs, mask_of

from lt_det.class_stats import ClassStats
from lt_det.losses import BOX_CLS_LOSS_REGISTRY
from lt_det.losses.prior import _warn_once


@every_loss
def test_device_moves_every_buffer(cls, class_stats):
    loss = cls(K, class_stats).to("meta")
    assert {b.device.type for b in loss.buffers()} == {"meta"}


@every_variant
@pytest.mark.parametrize("cast", ["half", "bfloat16", "float"])
def test_statistics_stay_exact_in_half_precision(cls, hyper, cast):
    odd = np.array([26_147, 16_777_217, 2_049, 1])  # no half, bfloat16 or float32 holds them all
    loss = cls(K, ClassStats(K, 16_777_219, odd, odd + 2), **hyper)
    logits, gt_classes = inputs(loss)
    loss.update_state(logits, gt_classes)
    state = copy.deepcopy(loss.state_dict())
    before = loss(logits, gt_classes, mask_of(loss, gt_classes))
    getattr(loss, cast)()
    for name, value in loss.state_dict().items():
        assert value.dtype == state[name].dtype, f"{name}: register it into an ExactBuffers"
        assert value.equal(state[name])
    assert loss.class_stats.value() == ClassStats(K, 16_777_219, odd, odd + 2)
    assert loss(logits, gt_classes, mask_of(loss, gt_classes)).equal(before)


@every_variant
def test_state_dict_round_trip(cls, hyper, class_stats):
    trained = cls(K, class_stats, **hyper)
    logits, gt_classes = inputs(trained)
    trained.update_state(logits, gt_classes)
    fresh = cls(K, None, **hyper)
    assert fresh.class_stats.value() is None
    fresh.load_state_dict(trained.state_dict(), strict=True)
    assert fresh.class_stats.value() == class_stats
    mask = mask_of(trained, gt_classes)
    assert fresh(logits, gt_classes, mask).equal(trained(logits, gt_classes, mask))


@every_loss
def test_stock_state_dict_leaves_statistics_alone(cls, class_stats):
    """Loading a checkpoint of Detectron2 reports nothing missing and forgets nothing."""
    model = torch.nn.ModuleDict({"cls_loss": cls(K, class_stats), "fc": torch.nn.Linear(2, 2)})
    stock = {f"fc.{k}": v for k, v in torch.nn.Linear(2, 2).state_dict().items()}
    result = model.load_state_dict(stock, strict=False)
    assert not result.missing_keys, "register running statistics into an ExactBuffers"
    assert not result.unexpected_keys
    assert model["cls_loss"].class_stats.value() == class_stats


@every_loss
def test_statistics_are_a_value_not_a_view(cls, class_stats):
    loss = cls(K, class_stats)
    value = loss.class_stats.value()
    loss.class_stats.assign(ClassStats(K, 9, np.ones(K), np.ones(K)))
    assert value == class_stats


@every_loss
def test_statistics_of_other_classes_are_refused(cls, class_stats):
    with pytest.raises(ValueError, match=r"4 classes.* 5.*NUM_CLASSES"):
        cls(K + 1, class_stats)


@every_loss
@pytest.mark.parametrize("counts", [[1, 2, 3, 4], np.ones(K)])
def test_bare_counts_are_no_statistics(cls, counts):
    with pytest.raises(TypeError, match=r"to be a lt_det.class_stats.ClassStats.*got .*1"):
        cls(K, counts)


@every_loss
def test_missing_statistics_are_named_or_not_needed(cls):
    """None is fine to build; a loss that needs counts to train or to predict says so then."""
    loss = cls(K)
    logits, gt_classes = inputs(loss)
    loss.init_bias()
    for use in (
        lambda: loss.predict_probs(logits),
        lambda: loss(logits, gt_classes, mask_of(loss, gt_classes)),
    ):
        message = ""
        try:
            use()
        except ValueError as error:
            message = str(error)
        assert not message or (cls.__name__ in message and "class_stats" in message)


@every_variant
def test_can_be_copied(cls, hyper, class_stats):
    """One instance a cascade stage; a look-ahead works on a copy."""
    loss = cls(K, class_stats, **hyper)
    logits, gt_classes = inputs(loss)
    mask = mask_of(loss, gt_classes)
    assert copy.deepcopy(loss)(logits, gt_classes, mask).equal(loss(logits, gt_classes, mask))


# --- zero counts -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["BalancedSoftmaxLoss", "BalancedSigmoidLoss"])
@pytest.mark.parametrize("count_type", ["image", "instance"])
def test_zero_counts_are_named_once(name, count_type, caplog):
    _warn_once.cache_clear()
    zeros = ClassStats(K, 50, np.array([50, 0, 3, 0]), np.array([70, 0, 3, 0]))
    loss = BOX_CLS_LOSS_REGISTRY.get(name)(K, zeros, count_type=count_type)
    for _ in range(3):
        loss(*inputs(loss))
    (record,) = [r for r in caplog.records if r.name.startswith("lt_det")]
    assert record.levelname == "WARNING"
    assert "[1, 3]" in record.getMessage()
    assert f"zero {count_type} count" in record.getMessage()


def test_of_many_zero_counts_the_first_are_named(caplog):
    _warn_once.cache_clear()
    _warn_once(tuple(range(1000)), "image")
    message = caplog.records[0].getMessage()
    assert message.startswith("1000 classes")
    assert message.endswith("18, 19] ...")


def test_counts_above_zero_are_not_warned_about(class_stats, caplog):
    _warn_once.cache_clear()
    for cls in LOSSES:
        loss = cls(K, class_stats)
        loss(*inputs(loss))
    assert not caplog.records
