"""The benchmark `meta`: its sides do the same work on the same pictures. Nothing is timed."""

import json

import pytest
import torch

from lt_det.engine.bilevel.methods import MetaReweighter
from lt_det.engine.bilevel.step import MetaStep
from lt_det.losses import BalancedSoftmaxLoss
from lt_det.modeling.roi_recorder import RoIs

from benchmarks import head, meta, run_benchmark
from benchmarks.parts import meta_sides, meta_streams
from benchmarks.parts.three_forwards import RateOutputLayers, ThreeForwards

MIB = 2**20
META_FIGURES = {
    "ratio_to_plain",
    "memory_ratio",
    "one_pass_ratio_to_plain",
    "one_pass_memory_ratio",
    "ratio_to_three_forwards",
    "memory_ratio_to_three_forwards",
    "stream_memory_mib",
    "stream_first_sample_s",
    "sampler_memory_mib",
    "sampler_first_batch_s",
}


@pytest.fixture
def small_meta(narrow_detector, monkeypatch):
    """The benchmark's detector, narrow, and few pictures."""
    monkeypatch.setattr(meta, "QUICK_SIZE", meta_sides.Size(64, 16, 20, 2))
    monkeypatch.setattr(meta_streams, "NUM_IMAGES", 50)
    monkeypatch.setattr(meta_streams, "NUM_INSTANCES", 300)


def test_meta_reports_its_figures(small_meta):
    result = run_benchmark("meta", quick=True)
    assert json.loads(result.to_json())["name"] == "meta"
    assert set(result.figures) == META_FIGURES
    # A stream of 50 pictures may fit into memory that is there already.
    assert all(v > 0 for name, v in result.figures.items() if not name.endswith("_memory_mib"))
    assert "short side 64 with 2 objects and 16 RoIs each" in result.text
    assert "The full form has a short side of 256" in result.text


def test_meta_has_the_sizes_of_the_design():
    assert (meta.SIZE.short_side, meta.SIZE.num_rois, meta_sides.BATCH_SIZE) == (256, 512, 2)
    assert meta_sides.NUM_CLASSES == 1203
    assert min(meta.PAIRS, meta.STREAM_ROUNDS) >= 10
    assert (meta_streams.NUM_IMAGES, meta_streams.NUM_INSTANCES) == (100_170, 1_270_141)


def test_all_sides_of_meta_see_the_same_pictures():
    size = meta_sides.Size(64, 16, 20, 2)
    first, second = (meta_sides._batches(size, meta_sides._TRAIN) for _ in range(2))
    for _ in range(meta_sides.NUM_BATCHES + 1):
        for a, b in zip(next(first), next(second), strict=True):
            assert torch.equal(a["image"], b["image"])
            assert torch.equal(a["instances"].gt_boxes.tensor, b["instances"].gt_boxes.tensor)
            assert a["instances"].gt_boxes.inside_box((64, 85)).all()
    other = next(meta_sides._batches(size, meta_sides._META))
    assert not torch.equal(other[0]["image"], next(first)[0]["image"])


class BoxHeadAlone(torch.nn.Module):
    """A "detector" whose input is the features of RoIs and their labels."""

    def __init__(self, predictor):
        super().__init__()
        self.roi_heads = torch.nn.Module()
        self.roi_heads.box_predictor = predictor

    def forward(self, batch):
        predictor = self.roi_heads.box_predictor
        return predictor.losses(predictor(batch[0]), batch[1])


def test_both_sides_of_meta_take_the_same_step(event_storage):
    """Three passes with a graph through the look-ahead step, and ours without: steps 1 to 3."""
    torch.manual_seed(0)
    loss = BalancedSoftmaxLoss(5, head.long_tailed_stats(5))
    theirs, ours = RateOutputLayers(head.stock(False, 5), loss), head.ours(BalancedSoftmaxLoss, 5)
    ours.cls_score.load_state_dict(theirs.cls_score.state_dict())
    for predictor in (theirs, ours):
        predictor.bbox_pred.requires_grad_(False)
    # Whatever the initial weights draw, these have foreground.
    torch.manual_seed(1)
    batch, meta_batch = ((torch.randn(16, 1024), head.make_proposals(16, 5)) for _ in range(2))
    optimizers = [
        torch.optim.SGD(p.cls_score.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
        for p in (theirs, ours)
    ]
    three = ThreeForwards(
        BoxHeadAlone(theirs), iter([batch] * 3), iter([meta_batch] * 3), optimizers[0]
    )
    step = MetaStep([ours], optimizers[1], MetaReweighter(5), rescale=False)
    rois = [
        RoIs(features, torch.cat([p.gt_classes for p in proposals]), [8, 8])
        for features, proposals in (batch, meta_batch)
    ]
    for iteration in range(3):
        three.run_step()
        step.look_ahead(rois[:1], rois[1:], [])
        torch.testing.assert_close(theirs.phi.grad.double(), step.phi.grad, rtol=1e-3, atol=1e-8)
        step.commit(iteration)
        torch.testing.assert_close(theirs.phi.double().detach(), step.phi, rtol=1e-3, atol=1e-4)
        for a, b in zip(theirs.cls_score.parameters(), ours.cls_score.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert step.phi.abs().max() > 0.01


def test_resident_peak_sees_pythons_own_memory():
    def step():
        kept, dropped = b"x" * (32 * MIB), b"y" * (32 * MIB)
        return kept if dropped else None

    assert 60 * MIB < meta_streams.resident_peak(step, lambda: None) < 80 * MIB


def test_resident_peak_of_a_step_that_fails(capfd):
    with pytest.raises(RuntimeError, match="has failed"):
        meta_streams.resident_peak(lambda: 1 / 0, lambda: None)
    assert "ZeroDivisionError" in capfd.readouterr().err
