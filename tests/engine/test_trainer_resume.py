"""Starts and resumes of stage 2: where iteration, weights, momentum and statistics come from."""

from pathlib import Path

import numpy as np
import pytest
import torch
from two_stages import CLS_SCORE, STATISTICS, changed, iterations, last_model

from lt_det.class_stats import ClassStats
from lt_det.engine.run import train
from lt_det.engine.trainer import LTTrainer

pytestmark = pytest.mark.integration


def test_a_start_takes_statistics_from_the_data(stage_two, stage_one, tmp_path, toy_lvis):
    content = torch.load(stage_one / "model_final.pth", weights_only=False)
    content["model"][f"{STATISTICS}image_count"] += 1
    content["model"][f"{STATISTICS}num_images"] += 50
    torch.save(content, tmp_path / "other.pth")
    stage_two.MODEL.WEIGHTS = str(tmp_path / "other.pth")
    LTTrainer(stage_two).resume_or_load(resume=False)
    stats = ClassStats.load(Path(stage_two.OUTPUT_DIR) / "class_stats.json")
    assert tuple(stats.image_count) == toy_lvis.image_count
    assert stats.num_images == 7


def test_resume_continues(stage_two):
    train(stage_two)
    first = last_model(stage_two.OUTPUT_DIR)
    assert iterations(stage_two.OUTPUT_DIR) == [1]
    stage_two.SOLVER.MAX_ITER = 4
    trainer = LTTrainer(stage_two)
    trainer.resume_or_load(resume=True)
    assert trainer.start_iter == 2
    assert changed(first, trainer.model.state_dict()) == set()
    momentum = trainer.optimizer.state_dict()["state"]
    assert all(entry["momentum_buffer"].abs().sum() > 0 for entry in momentum.values())
    trainer.train()
    assert changed(first, last_model(stage_two.OUTPUT_DIR)) == CLS_SCORE


def test_resume_takes_statistics_from_the_checkpoint(stage_two, tmp_path):
    stats = ClassStats(5, 90, np.arange(5) + 1, np.arange(5) + 10)
    stats.save(tmp_path / "stats.json")
    stage_two.DATASETS.CLASS_STATS_FILE = str(tmp_path / "stats.json")
    train(stage_two)
    stage_two.DATASETS.CLASS_STATS_FILE = ""
    trainer = LTTrainer(stage_two)
    trainer.resume_or_load(resume=True)
    assert trainer.model.roi_heads.box_predictor.cls_loss.class_stats.value() == stats
    assert ClassStats.load(Path(stage_two.OUTPUT_DIR) / "class_stats.json") == stats


def test_reinit_starts_anew_and_resume_keeps_what_it_trained(stage_two, stage_one):
    stage_two.MODEL.ROI_BOX_HEAD.CLASSIFIER.REINIT = True
    stage_two.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = "BalancedSigmoidLoss"  # K columns, not K + 1
    trainer = LTTrainer(stage_two)
    trainer.resume_or_load(resume=False)
    classifier = trainer.model.roi_heads.box_predictor.cls_score
    assert classifier.weight.shape == (5, 32)
    fresh = classifier.weight.detach().clone()
    trainer.train()
    trained = classifier.weight.detach().clone()
    assert not trained.equal(fresh)
    resumed = LTTrainer(stage_two)
    resumed.resume_or_load(resume=True)
    assert resumed.model.roi_heads.box_predictor.cls_score.weight.equal(trained)


def test_resume_without_a_checkpoint_is_a_start(stage_two, stage_one):
    trainer = LTTrainer(stage_two)
    trainer.resume_or_load(resume=True)
    assert trainer.start_iter == 0
    assert changed(last_model(stage_one), trainer.model.state_dict()) == set()
