"""The outer losses: plain, and balanced as in the released code; the mask of the inner one."""

import pytest
import torch
import torch.nn.functional as F
from bilevel_oracles import by_autograd, relative_error
from bilevel_problems import OPTIONS, K, M, every_classifier, make_optimizer, make_stage
from bilevel_problems import hypergradients as all_hypergradients
from contract import every_variant

from lt_det.engine.bilevel.hypergradient import outer_gradient
from lt_det.losses import (
    BalancedGroupSoftmaxLoss,
    BalancedSigmoidLoss,
    BalancedSoftmaxLoss,
    BoxClsLoss,
    SigmoidLoss,
    SoftmaxLoss,
)
from lt_det.modeling.classifiers.base import LinearClassifier


def stage_of(cls, class_stats):
    return make_stage(cls(K, class_stats), LinearClassifier)


@every_variant
@every_classifier
def test_the_balanced_outer_loss_equals_autograd_too(cls, hyper, classifier, settings, class_stats):
    stages = [make_stage(cls(K, class_stats, **hyper), classifier, outer="balanced", **settings)]
    assert stages[0].outer_loss is stages[0].loss
    optimizer, clip = make_optimizer(stages, OPTIONS["all-clip-norm"])
    expected = by_autograd(stages, optimizer, clip)
    assert relative_error(all_hypergradients(stages, optimizer, clip), expected) <= 1e-10


def outer_value(stage, loss):
    args = (stage.classifier, stage.parameters, stage.meta_features, stage.meta_gt_classes)
    return outer_gradient(*args, loss, M)[0]


@pytest.mark.parametrize("cls", [SoftmaxLoss, BalancedSoftmaxLoss])
def test_plain_softmax_outer_loss(cls, class_stats):
    stage = stage_of(cls, class_stats)
    expected = F.cross_entropy(stage.classifier(stage.meta_features), stage.meta_gt_classes)
    torch.testing.assert_close(outer_value(stage, stage.loss.plain()), expected.detach())


@pytest.mark.parametrize("background_column", [False, True])
@pytest.mark.parametrize("cls", [SigmoidLoss, BalancedSigmoidLoss])
def test_plain_sigmoid_outer_loss(cls, background_column, class_stats):
    loss = cls(K, class_stats, background_column=background_column)
    stage = make_stage(loss, LinearClassifier)
    logits = stage.classifier(stage.meta_features)[:, :K]
    target = F.one_hot(stage.meta_gt_classes, K + 1)[:, :K].double()
    expected = F.binary_cross_entropy_with_logits(logits, target, reduction="sum") / M
    torch.testing.assert_close(outer_value(stage, loss.plain()), expected.detach())


def test_balanced_outer_loss_is_what_the_released_code_computes(class_stats):
    """There the balanced loss shifts the logits in place, then the plain one reads them (D5)."""
    stage = stage_of(BalancedSigmoidLoss, class_stats)
    logits = stage.classifier(stage.meta_features).detach()
    frequency = torch.from_numpy(class_stats.image_count / class_stats.num_images)
    logits[stage.meta_gt_classes < K] -= torch.log((1 - frequency) / frequency)
    target = F.one_hot(stage.meta_gt_classes, K + 1)[:, :K].double()
    expected = F.binary_cross_entropy_with_logits(logits, target, reduction="sum") / M
    torch.testing.assert_close(outer_value(stage, stage.loss), expected)
    assert outer_value(stage, stage.loss.plain()) < 0.8 * expected


@every_variant
def test_the_plain_loss_needs_no_statistics(cls, hyper, class_stats):
    loss = cls(K, class_stats, **hyper)
    if cls is BalancedGroupSoftmaxLoss:  # its layout is the correction
        with pytest.raises(ValueError, match=r"BalancedGroupSoftmaxLoss.*OUTER_LOSS 'balanced'"):
            loss.plain()
        return
    plain = loss.plain()
    assert plain.num_logits == loss.num_logits
    assert not plain.class_stats.is_set
    logits = torch.randn(3, loss.num_logits)
    assert plain.predict_probs(logits).equal(loss.predict_probs(logits))
    assert plain(logits, torch.tensor([0, 2, K])).isfinite().all()


def test_a_loss_without_a_link_has_no_plain_one():
    class TwoLayoutLoss(BoxClsLoss):
        pass

    class WideSoftmaxLoss(SoftmaxLoss):
        num_logits = K + 2

    for loss in (TwoLayoutLoss(K), WideSoftmaxLoss(K)):
        with pytest.raises(ValueError, match=f"{type(loss).__name__}.*{loss.num_logits} logits"):
            loss.plain()


@pytest.mark.parametrize(
    "cls", [SoftmaxLoss, SigmoidLoss, BalancedSoftmaxLoss, BalancedSigmoidLoss]
)
def test_a_mask_is_part_of_the_inner_loss(cls, class_stats):
    stage = stage_of(cls, class_stats)
    optimizer, clip = make_optimizer([stage], OPTIONS["nesterov"])
    without = all_hypergradients([stage], optimizer, clip)
    stage.mask = 0.2 + torch.rand(12, stage.loss.num_logits, dtype=torch.float64)
    actual = all_hypergradients([stage], optimizer, clip)
    assert relative_error(actual, by_autograd([stage], optimizer, clip)) <= 1e-10
    assert relative_error(actual, without) > 1e-3
