"""The gradient ratio: what autograd says, at no cost to the training, and across resumes."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from two_processes import final, in_two_processes, train, train_rank

from lt_det.engine.gradient_ratio import GradientRatio, gradient_sums
from lt_det.engine.trainer import LTTrainer
from lt_det.evaluation.metrics.gradient_history import GRADIENT_RATIO_FILE, GradientHistory
from lt_det.losses import SigmoidLoss
from lt_det.modeling import LTFastRCNNOutputLayers


def test_sums_by_hand():
    gradient = torch.tensor([[-0.75, 0.25, 0.5], [0.125, -1.0, 3.0], [0.5, 0.0, -9.0]])
    positive, negative = gradient_sums(gradient, torch.tensor([0, 1, 2]), 2).tolist()
    assert positive == [0.75, 1.0]
    assert negative == [0.625, 0.25]  # of a background RoI too; the background's column is not one


def test_of_the_sigmoid_loss_they_are_eqlv2s():
    """Without weights: |sigmoid(z) - 1| of positives, sigmoid(z) of negatives."""
    logits = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    gt_classes = torch.tensor([0, 3, 2, 2, 3, 0, 1])
    SigmoidLoss(3)(logits, gt_classes).sum().backward()
    prob, sums = logits.detach().sigmoid(), gradient_sums(logits.grad, gt_classes, 3)
    for j in range(3):
        of_class = gt_classes == j
        torch.testing.assert_close(sums[0, j], (1 - prob[of_class, j]).sum())
        torch.testing.assert_close(sums[1, j], prob[~of_class, j].sum())


@pytest.fixture
def cfg(tiny_cfg):
    tiny_cfg.SOLVER.MAX_ITER = 7
    tiny_cfg.SOLVER.CHECKPOINT_PERIOD = 3
    tiny_cfg.SOLVER.GRADIENT_RATIO.PERIOD = 2
    tiny_cfg.DATASETS.TEST = ()
    return tiny_cfg


@pytest.mark.integration
@pytest.mark.parametrize(
    ("loss", "heads"),
    [("BalancedGroupSoftmaxLoss", "LTStandardROIHeads"), ("SigmoidLoss", "LTCascadeROIHeads")],
)
def test_training_is_as_without_and_sums_are_autograds(cfg, tmp_path, monkeypatch, loss, heads):
    cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = loss
    cfg.MODEL.ROI_HEADS.NAME = heads
    cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG = heads == "LTCascadeROIHeads"
    calls, plain = [], LTFastRCNNOutputLayers.classification_loss

    def recording(self, logits, gt_classes, **others):
        logits.retain_grad()
        calls.append((logits, gt_classes))
        return plain(self, logits, gt_classes, **others)

    train(cfg, tmp_path / "with")
    cfg.SOLVER.GRADIENT_RATIO.PERIOD = 0
    monkeypatch.setattr(LTFastRCNNOutputLayers, "classification_loss", recording)
    train(cfg, tmp_path / "without")

    weights, expected = final(tmp_path / "with"), final(tmp_path / "without")
    assert all(value.equal(expected[name]) for name, value in weights.items())
    assert not (tmp_path / "without" / GRADIENT_RATIO_FILE).exists()
    found = GradientHistory.load(tmp_path / "with" / GRADIENT_RATIO_FILE)
    assert found.iteration.tolist() == [2, 4, 6, 7]
    positive, negative = np.zeros((4, 5)), np.zeros((4, 5))
    stages = len(calls) // 7
    for call, (logits, gt_classes) in enumerate(calls):
        period = call // stages // 2
        for gradient, label in zip(logits.grad.double().tolist(), gt_classes.tolist(), strict=True):
            for j in range(5):
                (positive if j == label else negative)[period, j] += abs(gradient[j])
    assert positive.any(axis=0).tolist() == [True, True, True, False, True]
    np.testing.assert_allclose(found.positive, positive, rtol=1e-9)
    np.testing.assert_allclose(found.negative, negative, rtol=1e-9)


@pytest.mark.integration
def test_a_resume_goes_on_with_the_sums(cfg, tmp_path):
    train(cfg, tmp_path / "whole")
    train(cfg, tmp_path / "killed", stop=5)  # within a period; the last checkpoint is of 3
    train(cfg, tmp_path / "killed", resume=True)
    first, second = (tmp_path / name / GRADIENT_RATIO_FILE for name in ("whole", "killed"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.integration
def test_two_processes_equal_one(unequal_stage_two, tmp_path):
    unequal_stage_two.SOLVER.GRADIENT_RATIO.PERIOD = 8
    train(unequal_stage_two, tmp_path / "one")
    in_two_processes(train_rank, tmp_path, unequal_stage_two, tmp_path / "two", False, None)
    one, two = (GradientHistory.load(tmp_path / n / GRADIENT_RATIO_FILE) for n in ("one", "two"))
    assert one.iteration.tolist() == two.iteration.tolist() == [8, 16, 20]
    np.testing.assert_allclose(two.positive, one.positive, rtol=1e-5)
    np.testing.assert_allclose(two.negative, one.negative, rtol=1e-5)


def test_scaled_losses_and_steps_that_overflow(cfg, tmp_path, event_storage):
    cfg.OUTPUT_DIR = str(tmp_path)
    model = LTTrainer.build_model(cfg)
    hook = GradientRatio(model, cfg, loss_scale=lambda: 4.0)
    loss = model.roi_heads.box_predictor.cls_loss
    hook.before_train()
    for iteration, scale in enumerate((4.0, float("inf"))):
        hook.trainer = SimpleNamespace(iter=iteration)
        logits = torch.zeros(1, 6, requires_grad=True)
        (loss(logits, torch.tensor([1])).sum() * scale).backward()
        hook.after_step()
    hook.after_train()
    found = GradientHistory.load(tmp_path / GRADIENT_RATIO_FILE)
    np.testing.assert_allclose(found.positive, [[0, 5 / 6, 0, 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(found.negative, [[1 / 6, 0, 1 / 6, 1 / 6, 1 / 6]], rtol=1e-6)
    assert not loss._forward_hooks


def test_what_cannot_be_looked_at_is_refused(cfg):
    model = LTTrainer.build_model(cfg)
    with pytest.raises(ValueError, match=r"GRADIENT_RATIO\.PERIOD is 2, but Linear has none"):
        GradientRatio(torch.nn.Linear(1, 1), cfg, lambda: 1.0)
    cfg.SOLVER.META.NAME = "MetaReweighter"
    with pytest.raises(ValueError, match=r"PERIOD is 2, but SOLVER\.META\.NAME 'MetaReweighter'"):
        GradientRatio(model, cfg, lambda: 1.0)
    cfg.SOLVER.GRADIENT_RATIO.PERIOD = -1
    with pytest.raises(ValueError, match=r"PERIOD is -1, expected steps"):
        GradientRatio(model, cfg, lambda: 1.0)
