"""Both stages of a tiny Mask R-CNN on CPU: what trains, what is evaluated and what is written."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from two_stages import CLS_SCORE, STATISTICS, changed, last_model

from lt_det.class_stats import ClassStats
from lt_det.engine.autocast_trainer import AutocastTrainer
from lt_det.engine.run import train
from lt_det.engine.trainer import LTTrainer
from lt_det.evaluation import lvis_evaluator
from lt_det.evaluation.matching.detection_columns import DetectionColumns
from lt_det.evaluation.matching.matches import Matches
from lt_det.evaluation.official.backends import BACKENDS
from lt_det.evaluation.results import read_results

pytestmark = pytest.mark.integration


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
    assert {"AP", "AP50", "APr", "APc", "APf"} <= set(results["bbox"])
    np.testing.assert_equal(read_results(folder / "results.json"), results)
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
