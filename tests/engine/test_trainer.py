"""Both stages of a tiny Mask R-CNN, as tools/train_net.py runs them, on CPU."""

import csv
import json
import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog

from lt_det.class_stats import ClassStats
from lt_det.data.lvis import register_lvis_format
from lt_det.engine.autocast_trainer import AutocastTrainer
from lt_det.engine.run import config_from_args, evaluate, run_from_args, train
from lt_det.engine.trainer import LTTrainer
from lt_det.evaluation import lvis_evaluator
from lt_det.evaluation.backends import BACKENDS
from lt_det.evaluation.columns import DetectionColumns
from lt_det.evaluation.matches import Matches

pytestmark = pytest.mark.integration

CLS_SCORE = {f"roi_heads.box_predictor.cls_score.{name}" for name in ("weight", "bias")}
STATISTICS = "roi_heads.box_predictor.cls_loss.class_stats."


def last_model(output_dir) -> dict:
    return torch.load(Path(output_dir) / "model_final.pth", weights_only=False)["model"]


def changed(before: dict, after: dict) -> set:
    assert before.keys() == after.keys()
    return {name for name, value in after.items() if not value.equal(before[name])}


def iterations(output_dir) -> list[int]:
    """Iterations in metrics.json, where every line of training has a total_loss."""
    lines = (Path(output_dir) / "metrics.json").read_text().splitlines()
    return [entry["iteration"] for entry in map(json.loads, lines) if "total_loss" in entry]


@pytest.fixture
def stage_two(tiny_cfg, stage_one):
    """Config of stage 2 from the shared stage 1."""
    tiny_cfg.MODEL.WEIGHTS = str(stage_one / "model_final.pth")
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = "BalancedSoftmaxLoss"
    tiny_cfg.SOLVER.TRAINABLE_PARAMS = ("*cls_score*",)
    tiny_cfg.SOLVER.MAX_ITER = 2
    return tiny_cfg


@pytest.fixture(scope="module")
def stage_one(tmp_path_factory) -> Path:
    """Folder of the shared stage 1; the first test that needs it fills it."""
    return tmp_path_factory.mktemp("stage_one")


@pytest.fixture(autouse=True)
def _train_stage_one(stage_one, tiny_cfg):
    if (stage_one / "model_final.pth").exists():
        return
    cfg = tiny_cfg.clone()
    cfg.OUTPUT_DIR = str(stage_one)
    cfg.DATASETS.TEST = ()
    train(cfg)


def test_stage_one_trains_everything(tiny_cfg, stage_one):
    torch.manual_seed(0)
    before = LTTrainer.build_model(tiny_cfg).state_dict()
    after = last_model(stage_one)
    statistics = {name for name in before if name.startswith(STATISTICS)}
    assert changed(before, after) == set(before) - statistics
    assert all(value.isfinite().all() for value in after.values())


@pytest.mark.parametrize("sampler", ["TrainingSampler", "ClassAwareTrainingSampler"])
def test_stage_two_changes_the_classifier_alone(stage_two, stage_one, sampler):
    """Also across an evaluation, after which Detectron2 puts everything into training mode."""
    stage_two.SOLVER.MAX_ITER = 4
    stage_two.TEST.EVAL_PERIOD = 2
    stage_two.DATALOADER.SAMPLER_TRAIN = sampler
    results = train(stage_two)
    assert changed(last_model(stage_one), last_model(stage_two.OUTPUT_DIR)) == CLS_SCORE
    assert set(results) == {"bbox", "segm"}
    lines = (Path(stage_two.OUTPUT_DIR) / "metrics.json").read_text().splitlines()
    logged = {name for line in lines for name in json.loads(line)}
    assert {"total_loss", "fast_rcnn/cls_accuracy", "bbox/AP"} <= logged
    # The only loss, by its name too.
    *_, last = [entry for entry in map(json.loads, lines) if "total_loss" in entry]
    assert last["loss_cls"] == last["total_loss"] > 0
    # Constants are not losses.
    assert not {"loss_box_reg", "loss_mask", "loss_rpn_cls", "loss_rpn_loc"} & logged


def test_frozen_modules_and_proposals_in_stage_two(stage_two):
    """A frozen RPN proposes as many boxes in a step as in training, and computes no losses; the
    evaluation at the end has its own number. The frozen norm is in eval mode."""
    stage_two.MODEL.RPN.POST_NMS_TOPK_TRAIN, stage_two.MODEL.RPN.POST_NMS_TOPK_TEST = 30, 6
    trainer = LTTrainer(stage_two)
    trainer.resume_or_load(resume=False)
    seen = []

    def record(module, arguments, output):
        proposals, losses = output
        norm = trainer.model.backbone.bottom_up.stem.conv1.norm
        seen.append((max(map(len, proposals)), losses, norm.training))

    trainer.model.proposal_generator.register_forward_hook(record)
    trainer.train()
    assert seen[:2] == [(30, {}, False)] * 2
    assert {number for number, *_ in seen[2:]} == {6}


def test_evaluation_writes_results(stage_two, toy_lvis):
    results = train(stage_two)
    folder = Path(stage_two.OUTPUT_DIR) / "inference" / toy_lvis.val
    written = json.loads((folder / "results.json").read_text())
    assert {"AP", "AP50", "APr", "APc", "APf"} <= set(results["bbox"])
    assert set(written) >= {"bbox", "segm"}
    with open(folder / "per_class.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [f"class {i}" for i in toy_lvis.category_ids]


@pytest.mark.parametrize("backend", BACKENDS)
def test_evaluation_is_by_the_backend_of_the_config(tiny_cfg, toy_lvis, backend, monkeypatch):
    asked = []
    monkeypatch.setattr(lvis_evaluator, "usable_backend", lambda name: asked.append(name) or "lvis")
    tiny_cfg.TEST.LVIS_BACKEND = backend
    evaluator = LTTrainer.build_evaluator(tiny_cfg, toy_lvis.val)
    evaluator._run_api(DetectionColumns.of([], {}), "bbox", -1)
    assert asked == [backend]


def test_a_model_keeps_more_for_ap_fixed_and_its_other_metrics_stay(tiny_cfg, toy_lvis, tmp_path):
    tiny_cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.0
    tiny_cfg.TEST.DETECTIONS_PER_IMAGE = 3
    tiny_cfg.TEST.SAVE_PREDICTIONS = True
    matches, num_found = [], []
    for limit in (0, 7):
        tiny_cfg.TEST.DETECTIONS_PER_CLASS = limit
        tiny_cfg.OUTPUT_DIR = str(tmp_path / str(limit))
        torch.manual_seed(0)
        results = LTTrainer.test(tiny_cfg, LTTrainer.build_model(tiny_cfg))
        assert ("AP_fixed" in results["bbox"]) == (limit > 0)
        folder = tmp_path / str(limit) / "inference" / toy_lvis.val
        matches.append(Matches.load(folder / "matches_bbox.npz"))
        num_found.append(len(json.loads((folder / "lvis_instances_results.json").read_text())))
    assert len(matches[0].score) > 0
    for column in vars(matches[0]):
        np.testing.assert_array_equal(*(getattr(m, column) for m in matches))
    assert num_found[0] < num_found[1]


def test_class_statistics_are_written(stage_one, toy_lvis):
    stats = ClassStats.load(stage_one / "class_stats.json")
    assert stats == ClassStats(5, 7, toy_lvis.image_count, toy_lvis.instance_count)
    assert last_model(stage_one)[f"{STATISTICS}image_count"].tolist() == list(toy_lvis.image_count)


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


# --- resume ------------------------------------------------------------------------------------


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


# --- precision ---------------------------------------------------------------------------------


def test_bfloat16_autocast_on_cpu(tiny_cfg):
    tiny_cfg.SOLVER.AMP.ENABLED = True
    tiny_cfg.SOLVER.AMP.PRECISION = "bfloat16"
    tiny_cfg.SOLVER.MAX_ITER = 2
    tiny_cfg.DATASETS.TEST = ()
    dtypes = set()
    trainer = LTTrainer(tiny_cfg)
    trainer.resume_or_load(resume=False)
    trainer.model.roi_heads.box_head.register_forward_hook(
        lambda module, arguments, output: dtypes.add(output.dtype)
    )
    trainer.train()
    assert dtypes == {torch.bfloat16}
    model = last_model(tiny_cfg.OUTPUT_DIR)
    assert all(value.isfinite().all() for value in model.values())
    assert model["roi_heads.box_predictor.cls_score.weight"].dtype == torch.float32


def test_trainer_steps_as_detectron2s(tiny_cfg):
    """Without autocast AutocastTrainer is SimpleTrainer, bit by bit."""
    from detectron2.engine import SimpleTrainer
    from detectron2.utils.events import EventStorage

    states = []
    for trainer_class in (AutocastTrainer, SimpleTrainer):
        torch.manual_seed(3)
        model = torch.nn.Linear(4, 1)
        layer = torch.nn.ModuleDict({"fc": model})
        layer.forward = lambda batch, fc=model: {"loss_a": fc(batch[0]["x"]).square().mean()}
        optimizer = torch.optim.SGD(layer.parameters(), 0.1, momentum=0.9)
        batches = [[{"image_id": i, "x": torch.randn(3, 4)}] for i in range(5)]
        trainer = trainer_class(layer, batches, optimizer)
        with EventStorage() as storage:
            trainer.iter = 0
            for _ in range(5):
                trainer.run_step()
                storage.step()
                trainer.iter += 1
        states.append(layer.state_dict())
    assert changed(*states) == set()


# --- the command line --------------------------------------------------------------------------


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


def test_evaluated_model_has_the_checkpoints_statistics(stage_two, stage_one, monkeypatch):
    seen = []
    monkeypatch.setattr(LTTrainer, "test", classmethod(lambda cls, cfg, model: seen.append(model)))
    stage_two.DATASETS.CLASS_STATS_FILE = "checkpoint"
    evaluate(stage_two)
    (model,) = seen
    stats = model.roi_heads.box_predictor.cls_loss.class_stats.value()
    assert stats == ClassStats.load(stage_one / "class_stats.json")


def test_command_line_logs_what_lt_det_says(stage_two, arguments):
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
    tiny_cfg.OUTPUT_DIR = str(stage_one)
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLASSIFIER.REINIT = True
    with pytest.raises(ValueError, match=r"\(6, 32\).*\(5, 32\)"):
        LTTrainer(tiny_cfg).resume_or_load(resume=True)
