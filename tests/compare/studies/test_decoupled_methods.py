"""LWS, MARC, DisAlign and BAGS through the trainer: what trains, and what a checkpoint keeps."""

from pathlib import Path

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_model
from toy_models import choose_heads, spread_classifier

from lt_det.data.statistics import FROM_CHECKPOINT
from lt_det.engine.checkpoint import LTCheckpointer
from lt_det.engine.run import evaluate
from lt_det.engine.trainer import LTTrainer
from lt_det.modeling.find_predictors import box_predictors

pytestmark = pytest.mark.integration

MAP = ("*cls_score.foreground_map*",)
# Settings below MODEL.ROI_BOX_HEAD, and what trains.
METHODS = {
    "lws": (["CLASSIFIER.NAME", "LearnedScaleClassifier"], MAP),
    "marc": (["CLASSIFIER.NAME", "MARCClassifier", "CLS_LOSS.NAME", "ReweightedSoftmaxLoss"], MAP),
    "disalign": (
        ["CLASSIFIER.NAME", "DisAlignClassifier", "CLS_LOSS.NAME", "ReweightedSoftmaxLoss"],
        MAP,
    ),
    "bags": (
        ["CLS_LOSS.NAME", "BalancedGroupSoftmaxLoss", "CLASSIFIER.REINIT", True],
        ("*cls_score*",),
    ),
}


@pytest.fixture
def stage_one(tiny_cfg, tmp_path):
    """A checkpoint of the plain model, whose classifier prefers something."""
    model = spread_classifier(build_model(tiny_cfg), std=0.1)
    DetectionCheckpointer(model, str(tmp_path)).save("stage_one")
    return str(tmp_path / "stage_one.pth")


@pytest.fixture(params=METHODS)
def stage_two(request, tiny_cfg, stage_one):
    settings, trainable = METHODS[request.param]
    keys, values = settings[::2], settings[1::2]
    for key, value in zip(keys, values, strict=True):
        tiny_cfg.merge_from_list([f"MODEL.ROI_BOX_HEAD.{key}", value])
    tiny_cfg.MODEL.WEIGHTS = stage_one
    tiny_cfg.SOLVER.TRAINABLE_PARAMS = trainable
    tiny_cfg.SOLVER.WEIGHT_DECAY = 0.0
    tiny_cfg.SOLVER.MAX_ITER = 2
    tiny_cfg.DATASETS.TEST = ()
    return tiny_cfg


def trained(cfg):
    trainer = LTTrainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    return trainer.model


def for_evaluation(cfg):
    """As tools/train_net.py --eval-only builds and loads it, without the training set."""
    cfg = cfg.clone()
    cfg.DATASETS.CLASS_STATS_FILE = FROM_CHECKPOINT
    cfg.MODEL.WEIGHTS = str(Path(cfg.OUTPUT_DIR) / "model_final.pth")
    model = LTTrainer.build_model(cfg)
    LTCheckpointer(model).load(cfg.MODEL.WEIGHTS)
    return model


def probs_of(predictor, features):
    with torch.no_grad():
        return predictor.cls_loss.predict_probs(predictor.cls_score(features))


@pytest.mark.parametrize("meta", ["", "MetaReweighter"])
def test_trains_what_it_shall_and_reloads_to_the_same(stage_two, stage_one, meta):
    stage_two.SOLVER.META.NAME = meta
    if stage_two.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME == "BalancedGroupSoftmaxLoss":
        stage_two.SOLVER.META.OUTER_LOSS = "balanced"
    model = trained(stage_two)
    before = torch.load(stage_one, weights_only=True)["model"]
    glob = stage_two.SOLVER.TRAINABLE_PARAMS[0].strip("*")
    for name, value in model.state_dict().items():
        if glob in name:
            assert name not in before or not value.equal(before[name]), name
        else:
            assert value.equal(before[name]), name

    (ours,), (loaded,) = box_predictors(model), box_predictors(for_evaluation(stage_two))
    features = 3 * torch.randn(6, 32)
    assert probs_of(loaded, features).equal(probs_of(ours, features))
    if MAP == stage_two.SOLVER.TRAINABLE_PARAMS:
        changed = probs_of(ours, features)
        ours.cls_score.foreground_map.load_state_dict(
            {n: v.clone() for n, v in ours.cls_score._initial.items()}
        )
        assert not probs_of(ours, features).equal(changed)


@pytest.mark.parametrize("stage_two", ["bags"], indirect=True)
def test_a_group_layout_asks_for_a_fresh_classifier(stage_two):
    stage_two.MODEL.ROI_BOX_HEAD.CLASSIFIER.REINIT = False
    with pytest.raises(ValueError, match=r"shape \(6, 32\), the model's \(11, 32\).*REINIT True"):
        trained(stage_two)


# --- calibration of a trained model ------------------------------------------------------------


@pytest.mark.parametrize("heads", ["LTStandardROIHeads", "LTCascadeROIHeads"])
@pytest.mark.parametrize(
    "name", ["TauNormCalibration", "LogitAdjustmentCalibration", "NorCalCalibration"]
)
def test_eval_only_calibrates_a_plain_model_by_the_checkpoints_counts(
    tiny_cfg, tmp_path, heads, name
):
    cfg = choose_heads(tiny_cfg, heads)
    model = spread_classifier(build_model(cfg), std=0.1)
    DetectionCheckpointer(model, str(tmp_path)).save("plain")
    cfg.MODEL.WEIGHTS = str(tmp_path / "plain.pth")
    cfg.DATASETS.CLASS_STATS_FILE = FROM_CHECKPOINT
    cfg.TEST.CALIBRATION.NAME = name
    calibrated = LTTrainer.build_model(cfg)
    LTCheckpointer(calibrated).load(cfg.MODEL.WEIGHTS)
    for ours, plain in zip(box_predictors(calibrated), box_predictors(model), strict=True):
        assert type(ours.calibration).__name__ == name
        features = torch.randn(6, 32)
        expected = ours.calibration.predict_probs(
            plain.cls_score(features), plain.cls_loss, plain.cls_score
        )
        logits = ours.cls_score(features)
        (probs,) = ours.predict_probs((logits, None), [range(6)])
        assert probs.equal(expected)
    assert set(evaluate(cfg)) == {"bbox", "segm"}
