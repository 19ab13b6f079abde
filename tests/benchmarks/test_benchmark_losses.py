"""tools/benchmark.py losses: its figures, and what a step does."""

import pytest
import torch

from lt_det.losses import (
    BOX_CLS_LOSS_REGISTRY,
    BalancedSigmoidLoss,
    BoxClsLoss,
    SeesawLoss,
    SigmoidLoss,
    SoftmaxLoss,
)

from benchmarks import losses, run_benchmark
from benchmarks.head import long_tailed_stats


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(losses, "PAIRS", 2)
    monkeypatch.setattr(losses, "NUM_ROIS", 24)
    monkeypatch.setattr(losses, "QUICK_NUM_ROIS", 16)
    monkeypatch.setattr(losses, "CASES", {"": 5, "_20k": 9})
    monkeypatch.setattr(losses, "QUICK_CASES", {"": 5})


def test_quick_has_a_figure_for_every_loss_but_the_plain_ones(small):
    result = run_benchmark("losses", quick=True)
    own = {n for n, cls in BOX_CLS_LOSS_REGISTRY if cls.__module__.startswith("lt_det.")}
    assert set(result.figures) == own - {"SoftmaxLoss", "SigmoidLoss"}
    assert all(value > 0 for value in result.figures.values())
    assert "SeesawLoss / SoftmaxLoss, K = 5" in result.text
    assert "R = 16" in result.text


def test_all_has_both_numbers_of_classes(small, monkeypatch):
    monkeypatch.setattr(losses, "_losses", lambda: [SeesawLoss, BalancedSigmoidLoss])
    figures = run_benchmark("losses").figures
    names = {"SeesawLoss", "BalancedSigmoidLoss"}
    assert set(figures) == names | {f"{name}_20k" for name in names}


def test_sizes_are_those_of_the_design():
    assert (losses.NUM_ROIS, losses.QUICK_NUM_ROIS) == (8192, 1024)
    assert losses.CASES == {"": 1203, "_20k": 20_000}
    assert losses.PAIRS >= 10


def test_each_link_has_its_plain_loss():
    assert losses.plain_of(BalancedSigmoidLoss) is SigmoidLoss
    assert losses.plain_of(SeesawLoss) is SoftmaxLoss


def test_a_step_is_mask_forward_backward_and_statistics():
    calls = []

    class RecordingLoss(BoxClsLoss):
        def draw_mask(self, gt_classes, known_negatives=None, weights=None):
            calls.append("mask")
            return torch.ones(len(gt_classes), self.num_logits)

        def forward(self, logits, gt_classes, mask=None):
            calls.append("forward")
            logits.register_hook(lambda gradient: calls.append("backward"))
            return SoftmaxLoss(self.num_classes)(logits, gt_classes, mask)

        def update_state(self, logits, gt_classes, weights=None):
            calls.append("statistics")

    step = losses.training_step(RecordingLoss(5, long_tailed_stats(5)), 8)
    step()
    assert calls == ["mask", "forward", "backward", "statistics"]
