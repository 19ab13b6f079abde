"""BALMS in the detector: Meta Reweighter and Meta Sampler as tools/train_net.py runs them."""

import itertools
import json
from pathlib import Path

import pytest
import torch
from detectron2.utils.env import seed_all_rng
from two_processes import assert_close, in_two_processes, losses, train_rank
from two_processes import train as train_and_keep_losses

from lt_det.engine.bilevel.trainer import MetaTrainer
from lt_det.engine.trainer import LTTrainer

pytestmark = pytest.mark.integration

METHODS = ["MetaReweighter", "MetaSampler"]


def balms(cfg, method):
    cfg.SOLVER.META.NAME = method
    cfg.SOLVER.META.SAMPLER.LAG = 2
    cfg.SOLVER.TRAINABLE_PARAMS = ("*cls_score*",)
    cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = "BalancedSoftmaxLoss"
    # An untrained body whose features are of a trained one's size: batch norm's would be huge.
    cfg.MODEL.RESNETS.NORM = "GN"
    cfg.SOLVER.BASE_LR = 0.05
    cfg.DATASETS.TEST = ()
    return cfg


@pytest.fixture(params=METHODS)
def meta_cfg(request, tiny_cfg):
    tiny_cfg.SOLVER.MAX_ITER = 7
    tiny_cfg.SOLVER.CHECKPOINT_PERIOD = 2
    return balms(tiny_cfg, request.param)


class Killed(Exception):
    pass


def train(cfg, output, resume=False, stop_at=None):
    """The trainer; it "dies" before the step ``stop_at``."""
    cfg = cfg.clone()
    cfg.OUTPUT_DIR = str(output)
    Path(output).mkdir(exist_ok=True)
    seed_all_rng(0)  # the fresh classifier, whatever SEED is
    trainer = LTTrainer(cfg)
    trainer.resume_or_load(resume=resume)
    run_step = trainer._trainer.run_step

    def run_or_die():
        if trainer.iter == stop_at:
            raise Killed
        run_step()

    trainer._trainer.run_step = run_or_die
    try:
        trainer.train()
    except Killed:
        assert stop_at is not None
    return trainer


def phi(trainer) -> torch.Tensor:
    return trainer._trainer.meta_step.phi


def classifier(trainer) -> torch.Tensor:
    return trainer.model.roi_heads.box_predictor.cls_score.weight


def checkpoint(output) -> dict:
    return torch.load(Path(output) / "model_final.pth", weights_only=True)


def test_rates_move_and_are_reported(meta_cfg, tmp_path):
    trainer = train(meta_cfg, tmp_path)
    assert isinstance(trainer._trainer, MetaTrainer)
    assert phi(trainer).abs().max() > 1e-3
    report = json.loads((tmp_path / "class_rates.json").read_text())
    assert report == {"rate": phi(trainer).sigmoid().tolist()}
    assert (tmp_path / "class_rates.png").stat().st_size > 1000
    line = json.loads((tmp_path / "metrics.json").read_text().splitlines()[-1])
    assert {"meta/outer_loss", "meta/rate_rare", "total_loss", "loss_cls"} <= line.keys()
    # Nothing but the classifier has moved.
    before = LTTrainer.build_model(meta_cfg).state_dict().keys()
    assert before == checkpoint(tmp_path)["model"].keys()


def test_with_rates_that_cannot_move_it_is_plain_training(tiny_cfg, tmp_path):
    """Normalised weights of equal rates are ones."""
    cfg = balms(tiny_cfg, "MetaReweighter")
    cfg.SOLVER.META.BASE_LR = 0.0
    meta = train(cfg, tmp_path / "meta")
    assert phi(meta).eq(0).all()
    cfg.SOLVER.META.NAME = ""
    plain = train(cfg, tmp_path / "plain")
    torch.testing.assert_close(classifier(meta), classifier(plain), rtol=1e-5, atol=1e-7)
    assert not classifier(meta).equal(torch.zeros_like(classifier(meta)))


def test_the_papers_weights_are_not_the_released_ones(tiny_cfg, tmp_path):
    """Not normalised, the inner loss of foreground RoIs counts 0.5: gradients of the two differ."""
    cfg = balms(tiny_cfg, "MetaReweighter")
    cfg.SOLVER.META.BASE_LR = 0.0
    released = train(cfg, tmp_path / "released")
    cfg.SOLVER.META.REWEIGHTER.NORMALIZED = False
    paper = train(cfg, tmp_path / "paper")
    assert not torch.allclose(classifier(released), classifier(paper), rtol=1e-3)


def mean_gradient(trainer) -> torch.Tensor:
    return trainer._trainer.meta_step.adam.state_dict()["state"][0]["exp_avg"]


def test_the_outer_loss_is_plain_or_balanced(meta_cfg, tmp_path):
    plain = train(meta_cfg, tmp_path / "plain")
    meta_cfg.SOLVER.META.OUTER_LOSS = "balanced"
    balanced = train(meta_cfg, tmp_path / "balanced")
    assert not mean_gradient(plain).allclose(mean_gradient(balanced), rtol=1e-3)


def test_rescaling_takes_rois_and_learning_rate_out(meta_cfg, tmp_path):
    """Of the first step's gradient, which both runs take at the same rates."""
    meta_cfg.SOLVER.MAX_ITER = 1
    rescaled = mean_gradient(train(meta_cfg, tmp_path / "rescaled"))
    meta_cfg.SOLVER.META.RESCALE = False
    raw = mean_gradient(train(meta_cfg, tmp_path / "raw"))
    number = 2 * meta_cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE
    assert raw.abs().max() > 0
    torch.testing.assert_close(raw * number / meta_cfg.SOLVER.BASE_LR, rescaled, rtol=1e-12, atol=0)


def test_one_pass_is_two_passes(meta_cfg, tmp_path):
    """Pictures of one size, so nothing is padded."""
    two = train(meta_cfg, tmp_path / "two")
    meta_cfg.SOLVER.META.ONE_PASS = True
    one = train(meta_cfg, tmp_path / "one")
    torch.testing.assert_close(phi(one), phi(two), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(classifier(one), classifier(two), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("clip_type", ["value", "norm"])
def test_gradient_clipping_is_looked_ahead(meta_cfg, tmp_path, clip_type):
    free = train(meta_cfg, tmp_path / "free")
    clip = meta_cfg.SOLVER.CLIP_GRADIENTS
    clip.ENABLED, clip.CLIP_TYPE, clip.CLIP_VALUE = True, clip_type, 1e-2
    clipped = train(meta_cfg, tmp_path / "clipped")
    assert not phi(free).allclose(phi(clipped), rtol=1e-3)


@pytest.mark.parametrize(("stop_at", "num_workers", "seed"), [(1, 0, 1), (4, 2, 1), (5, 1, -1)])
def test_resumed_as_if_never_stopped(meta_cfg, tmp_path, monkeypatch, stop_at, num_workers, seed):
    """Rates, their Adam, the versions still to be drawn under, and the classifier."""
    # A drawn seed is kept by the resume, which draws another.
    drawn = itertools.count(11)
    monkeypatch.setattr("detectron2.utils.comm.shared_random_seed", lambda: next(drawn))
    meta_cfg.SEED = 11 if seed < 0 else seed
    train(meta_cfg, tmp_path / "whole")
    meta_cfg.SEED = seed
    meta_cfg.DATALOADER.NUM_WORKERS = num_workers
    train(meta_cfg, tmp_path / "killed", stop_at=stop_at)
    train(meta_cfg, tmp_path / "killed", resume=True)
    whole, killed = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "killed")
    torch.testing.assert_close(
        killed["trainer"]["_trainer"]["meta"], whole["trainer"]["_trainer"]["meta"], rtol=0, atol=0
    )
    torch.testing.assert_close(killed["model"], whole["model"], rtol=0, atol=0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("heads", ["LTStandardROIHeads", "LTCascadeROIHeads"])
def test_two_processes_equal_one(unequal_stage_two, tmp_path, method, heads):
    cfg = balms(unequal_stage_two, method)
    cfg.MODEL.ROI_HEADS.NAME = heads
    cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG = heads == "LTCascadeROIHeads"
    train_and_keep_losses(cfg, tmp_path / "one")
    in_two_processes(train_rank, tmp_path, cfg, tmp_path / "two", False, None)
    one, two = (
        checkpoint(tmp_path / name)["trainer"]["_trainer"]["meta"]["phi"] for name in ("one", "two")
    )
    assert one.abs().max() > 1e-3
    torch.testing.assert_close(two, one, rtol=1e-5, atol=1e-5)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    assert_close(tmp_path / "two", tmp_path / "one")


# --- refusals ----------------------------------------------------------------------------------


def refused(cfg, match):
    with pytest.raises(ValueError, match=match):
        LTTrainer(cfg)


def test_a_body_that_trains_is_refused(meta_cfg):
    meta_cfg.SOLVER.TRAINABLE_PARAMS = ("*box_predictor*",)
    refused(meta_cfg, r"also trains \['roi_heads.box_predictor.bbox_pred.weight'")


def test_a_frozen_classifier_is_refused(meta_cfg):
    meta_cfg.SOLVER.TRAINABLE_PARAMS = ("*rpn*",)
    refused(meta_cfg, "also trains")


def test_a_model_without_our_predictor_is_refused(meta_cfg):
    meta_cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    meta_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = "SoftmaxLoss"
    refused(meta_cfg, "none of lt_det's box predictors")


def test_an_unknown_method_is_refused(meta_cfg):
    meta_cfg.SOLVER.META.NAME = "MetaSample"
    refused(meta_cfg, "SOLVER.META.NAME to be '' or one of .* got 'MetaSample'")


def test_an_unknown_outer_loss_is_refused(meta_cfg):
    meta_cfg.SOLVER.META.OUTER_LOSS = "none"
    refused(meta_cfg, "OUTER_LOSS to be one of .* got 'none'")


def test_another_sampler_under_the_meta_sampler_is_refused(tiny_cfg):
    cfg = balms(tiny_cfg, "MetaSampler")
    cfg.DATALOADER.SAMPLER_TRAIN = "ClassAwareTrainingSampler"
    refused(cfg, "draws pictures by itself.* but got 'ClassAwareTrainingSampler'")


def test_more_workers_than_the_lag_are_refused(tiny_cfg):
    cfg = balms(tiny_cfg, "MetaSampler")
    cfg.DATALOADER.NUM_WORKERS = 3
    refused(cfg, r"NUM_WORKERS 3 fetch that many batches ahead, .* allows 2 \(SOLVER.META.SAMPLER")


def test_resuming_a_training_without_rates_is_refused(meta_cfg, tmp_path):
    name = meta_cfg.SOLVER.META.NAME
    meta_cfg.SOLVER.META.NAME = ""
    train(meta_cfg, tmp_path, stop_at=3)
    meta_cfg.SOLVER.META.NAME = name
    with pytest.raises(ValueError, match="The last checkpoint has no class rates"):
        train(meta_cfg, tmp_path, resume=True)
