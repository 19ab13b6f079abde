"""Training and evaluation as tools/train_net.py runs them, and what stops them beforehand."""

import dataclasses
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from detectron2.data import DatasetCatalog, MetadataCatalog
from two_stages import STATISTICS

from lt_det.class_stats import ClassStats
from lt_det.data.datasets.lvis import register_lvis_format
from lt_det.engine.run import config_from_args, evaluate, run_from_args, train
from lt_det.engine.trainer import LTTrainer

pytestmark = pytest.mark.integration


@pytest.fixture
def arguments(tiny_cfg, tmp_path):
    """Arguments as of Detectron2's default parser, with tiny_cfg as the config file."""

    def _arguments(*opts, **flags):
        path = tmp_path / "config.yaml"
        path.write_text(tiny_cfg.dump())
        defaults = {"resume": False, "eval_only": False, "num_gpus": 0}
        return SimpleNamespace(config_file=str(path), opts=list(opts), **{**defaults, **flags})

    return _arguments


@pytest.fixture
def absent_train_set(tmp_path):
    name = "lt_det_test_absent_train"
    register_lvis_format(name, tmp_path / "absent.json", tmp_path)
    yield name
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


def test_eval_only_reads_no_training_set(stage_two, arguments, stage_one, absent_train_set):
    weights = str(stage_one / "model_final.pth")
    opts = ["DATASETS.TRAIN", f"('{absent_train_set}',)", "MODEL.WEIGHTS", weights]
    cfg = config_from_args(arguments(*opts, eval_only=True))
    assert cfg.DATASETS.CLASS_STATS_FILE == "checkpoint"
    assert cfg.is_frozen()
    results = evaluate(cfg)
    assert set(results) == {"bbox", "segm"}
    # A training with the same options does need it.
    with pytest.raises(FileNotFoundError, match=r"absent\.json"):
        train(config_from_args(arguments(*opts)))


def test_evaluated_model_has_the_checkpoints_statistics(
    stage_two, stage_one, tmp_path, monkeypatch
):
    seen = []
    monkeypatch.setattr(LTTrainer, "test", classmethod(lambda cls, cfg, model: seen.append(model)))
    # Others than the training set's, from which they could come too.
    content = torch.load(stage_one / "model_final.pth", weights_only=False)
    content["model"][f"{STATISTICS}image_count"] += 1
    torch.save(content, tmp_path / "other.pth")
    stage_two.MODEL.WEIGHTS = str(tmp_path / "other.pth")
    stage_two.DATASETS.CLASS_STATS_FILE = "checkpoint"
    evaluate(stage_two)
    (model,) = seen
    stats = model.roi_heads.box_predictor.cls_loss.class_stats.value()
    of_data = ClassStats.load(stage_one / "class_stats.json")
    assert stats == dataclasses.replace(of_data, image_count=of_data.image_count + 1)


def test_command_line_logs_what_lt_det_says(stage_two, arguments, toy_lvis, capsys):
    """Detectron2 sets up its own loggers only: ours must reach the console and log.txt too."""
    names = ("lt_det", "detectron2", "fvcore")
    before = {n: (logging.getLogger(n).handlers[:], logging.getLogger(n).propagate) for n in names}
    try:
        run_from_args(arguments("SOLVER.MAX_ITER", 1))
    finally:
        for name, (handlers, propagate) in before.items():
            logging.getLogger(name).handlers[:] = handlers
            logging.getLogger(name).propagate = propagate
    log = (Path(stage_two.OUTPUT_DIR) / "log.txt").read_text()
    assert "Training 2 of" in log  # lt_det.engine.freeze
    printed = capsys.readouterr().out
    # The console is short up to the first step; the file has it all, without colours.
    before = printed.partition("Starting training")[0].splitlines()
    assert 5 < len(before) <= 25
    for words in (
        f"Output goes to {stage_two.OUTPUT_DIR}: config.yaml has all settings",
        f"Data set {toy_lvis.train}: 7 images, 14 objects of 4 of its 5 classes",
        f"Checking the test set {toy_lvis.val} ...",
        "Model: GeneralizedRCNN of 11.2 million parameters",
        "Training 2 of",
    ):
        assert any(words in line for line in before), words
        assert words in log
    for words in ("Environment info", "(box_predictor): LTFast"):
        assert words in log
        assert words not in printed
    assert "Distribution of instances" not in printed
    assert "Command line: " in log
    assert "\x1b" not in printed + log
    # The whole config is in its own file.
    assert "ROI_MASK_HEAD" not in log
    assert yaml.safe_load((Path(stage_two.OUTPUT_DIR) / "config.yaml").read_text())["SEED"] == 1
    assert "Results in percent" in log  # lt_det.evaluation


def test_glob_without_a_match_stops_before_training(stage_two):
    stage_two.SOLVER.TRAINABLE_PARAMS = ("*cls_scores*",)
    with pytest.raises(ValueError, match=r"TRAINABLE_PARAMS.*cls_scores"):
        LTTrainer(stage_two)


def test_contradictions_stop_before_the_model_is_built(tiny_cfg, stage_one):
    tiny_cfg.MODEL.WEIGHTS = str(stage_one / "model_final.pth")
    tiny_cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = "BalancedSoftmaxLoss"
    for start in (LTTrainer, evaluate):
        with pytest.raises(ValueError, match="no effect under"):
            start(tiny_cfg)


def test_softmax_checkpoint_does_not_evaluate_under_sigmoid(tiny_cfg, stage_one):
    tiny_cfg.MODEL.WEIGHTS = str(stage_one / "model_final.pth")
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = "SigmoidLoss"
    with pytest.raises(ValueError, match=r"cls_score\.weight has shape \(6, 32\).*\(5, 32\)"):
        evaluate(tiny_cfg)
    # Neither does a resume, whatever REINIT says.
    shutil.copytree(stage_one, tiny_cfg.OUTPUT_DIR, dirs_exist_ok=True)
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLASSIFIER.REINIT = True
    with pytest.raises(ValueError, match=r"\(6, 32\).*\(5, 32\)"):
        LTTrainer(tiny_cfg).resume_or_load(resume=True)


def test_a_classifier_that_starts_anew_is_one_line(tiny_cfg, stage_one, caplog):
    """As REINIT asks for; another skip, here of the mask head, stays loud."""
    caplog.set_level(logging.INFO)
    tiny_cfg.MODEL.WEIGHTS = str(stage_one / "model_final.pth")
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = "SigmoidLoss"
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLASSIFIER.REINIT = True
    tiny_cfg.DATASETS.TEST = ()
    Path(tiny_cfg.OUTPUT_DIR).mkdir()
    LTTrainer(tiny_cfg).resume_or_load(resume=False)
    of_checkpoints = [r for r in caplog.records if r.name.endswith("checkpoint")]
    (said,) = [r.getMessage() for r in of_checkpoints if "cls_score" in r.getMessage()]
    assert said.startswith("The classifier starts anew (CLASSIFIER.REINIT)")
    assert "cls_score.weight (6, 32) -> (5, 32), " in said
    assert "cls_score.bias (6,) -> (5,)" in said
    assert not [r for r in of_checkpoints if r.levelname == "WARNING"]
    tiny_cfg.MODEL.ROI_MASK_HEAD.CONV_DIM = 4
    LTTrainer(tiny_cfg).resume_or_load(resume=False)
    loud = [r.getMessage() for r in caplog.records if "Skip loading" in r.getMessage()]
    assert loud
    assert all("mask_head" in message for message in loud)
