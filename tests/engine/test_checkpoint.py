"""Checkpoints of stock Detectron2 and of ours load both ways; other classifiers are refused."""

import logging

import numpy as np
import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_model
from detectron2.modeling.roi_heads import FastRCNNOutputLayers
from torch import nn

from lt_det.class_stats import ClassStats
from lt_det.engine.checkpoint import LTCheckpointer
from lt_det.engine.trainer import LTTrainer, initialize_from_weights
from lt_det.modeling.find_predictors import box_predictors

CLS_SCORE = "roi_heads.box_predictor.cls_score"


@pytest.fixture
def build(tiny_cfg):
    """Builds a detector; keyword arguments name its loss, its heads or its number of classes."""

    def _build(loss="SoftmaxLoss", heads="LTStandardROIHeads", num_classes=None, sigmoid=False):
        cfg = tiny_cfg.clone()
        cfg.MODEL.ROI_HEADS.NAME = heads
        cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = loss
        cfg.MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE = sigmoid
        if num_classes is not None:
            cfg.MODEL.ROI_HEADS.NUM_CLASSES = num_classes
            cfg.DATASETS.TRAIN = ()
        return build_model(cfg)

    return _build


@pytest.fixture
def save(tmp_path):
    def _save(model, name="weights"):
        DetectionCheckpointer(model, str(tmp_path)).save(name)
        return str(tmp_path / f"{name}.pth")

    return _save


def predictor(model):
    return model.roi_heads.box_predictor


def assert_same_parameters(a, b):
    b = dict(b.named_parameters())
    for name, parameter in a.named_parameters():
        assert parameter.equal(b[name]), name


def test_stock_to_ours(build, save, toy_lvis, caplog):
    stock = build(heads="StandardROIHeads")
    ours = build(loss="BalancedSoftmaxLoss")
    with caplog.at_level(logging.WARNING):
        LTCheckpointer(ours).load(save(stock))
    assert type(predictor(stock)) is FastRCNNOutputLayers
    assert_same_parameters(ours, stock)
    assert "class_stats" not in caplog.text  # nothing is reported missing ...
    stats = predictor(ours).cls_loss.class_stats.value()
    assert tuple(stats.image_count) == toy_lvis.image_count  # ... and nothing is forgotten


def test_ours_to_stock(build, save):
    ours = build(loss="BalancedSoftmaxLoss")
    stock = build(heads="StandardROIHeads")
    DetectionCheckpointer(stock).load(save(ours))
    assert_same_parameters(stock, ours)


def test_ours_to_ours_carries_the_statistics(build, save):
    trained = build(loss="BalancedSoftmaxLoss")
    stats = ClassStats(5, 90, np.arange(5) + 1, np.arange(5) + 10)
    predictor(trained).cls_loss.class_stats.assign(stats)
    fresh = build(loss="BalancedSigmoidLoss", num_classes=5)
    assert predictor(fresh).cls_loss.class_stats.value() is None
    checkpointer = LTCheckpointer(fresh)
    checkpointer.allow_other_classifier = True
    checkpointer.load(save(trained))
    assert predictor(fresh).cls_loss.class_stats.value() == stats


@pytest.mark.parametrize(
    ("saved", "loaded", "shapes"),
    [
        ({}, {"loss": "SigmoidLoss"}, ((6, 32), (5, 32))),
        ({"heads": "StandardROIHeads"}, {"loss": "BalancedSigmoidLoss"}, ((6, 32), (5, 32))),
        ({"loss": "SigmoidLoss"}, {}, ((5, 32), (6, 32))),
        ({"num_classes": 80}, {}, ((81, 32), (6, 32))),
    ],
    ids=["softmax to sigmoid", "stock to sigmoid", "sigmoid to softmax", "other classes"],
)
def test_another_width_is_refused(build, save, saved, loaded, shapes):
    path = save(build(**saved))
    with pytest.raises(ValueError, match="REINIT") as error:
        LTCheckpointer(build(**loaded)).load(path)
    for expected in (CLS_SCORE, str(shapes[0]), str(shapes[1]), "NUM_CLASSES"):
        assert expected in str(error.value)


def test_refused_behind_a_module_prefix(build, save):
    """A checkpoint saved from DDP, and a model inside another."""
    path = save(build(loss="SigmoidLoss"))
    saved = torch.load(path)["model"]
    torch.save({"model": {f"module.{k}": v for k, v in saved.items()}}, path)
    with pytest.raises(ValueError, match="REINIT"):
        LTCheckpointer(build()).load(path)
    torch.save({"model": {f"student.{k}": v for k, v in saved.items()}}, path)
    with pytest.raises(ValueError, match=f"student.{CLS_SCORE}"):
        LTCheckpointer(nn.ModuleDict({"student": build()})).load(path)


def test_other_shapes_elsewhere_are_detectron2s_business(build, save):
    """A box regression of other classes is skipped with a warning, as ever."""
    model = build()
    path = save(model)
    content = torch.load(path)
    content["model"]["roi_heads.box_predictor.bbox_pred.weight"] = torch.zeros(8, 32)
    torch.save(content, path)
    LTCheckpointer(build()).load(path)


def test_stock_sigmoid_checkpoint_names_the_option(build, save):
    path = save(build(heads="StandardROIHeads", sigmoid=True))
    with pytest.raises(ValueError, match=r"USE_SIGMOID_CE.*BACKGROUND_COLUMN"):
        LTCheckpointer(build(loss="SigmoidLoss")).load(path)


def start(cfg, model):
    initialize_from_weights(cfg, model, LTCheckpointer(model))
    return predictor(model)


def test_reinit_lets_another_width_pass(tiny_cfg, build, save):
    source = build(num_classes=80)
    tiny_cfg.MODEL.WEIGHTS = save(source)
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLASSIFIER.REINIT = True
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = "SigmoidLoss"
    model = LTTrainer.build_model(tiny_cfg)
    head = start(tiny_cfg, model)
    assert head.cls_score.weight.shape == (5, 32)
    assert model.backbone.fpn_lateral2.weight.equal(source.backbone.fpn_lateral2.weight)
    assert (head.cls_score.bias < -4).all()


def test_reinit_resets_a_classifier_that_would_fit(tiny_cfg, build, save):
    source = build()
    nn.init.constant_(predictor(source).cls_score.weight, 7.0)
    tiny_cfg.MODEL.WEIGHTS = save(source)
    kept = start(tiny_cfg, LTTrainer.build_model(tiny_cfg))
    assert (kept.cls_score.weight == 7).all()
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLASSIFIER.REINIT = True
    reset = start(tiny_cfg, LTTrainer.build_model(tiny_cfg))
    assert reset.cls_score.weight.abs().max() < 0.1
    assert reset.bbox_pred.weight.equal(predictor(source).bbox_pred.weight)


def test_a_start_takes_statistics_from_the_data(tiny_cfg, build, save, toy_lvis, caplog):
    source = build()
    other = ClassStats(5, 90, np.arange(5) + 1, np.arange(5) + 10)
    predictor(source).cls_loss.class_stats.assign(other)
    tiny_cfg.MODEL.WEIGHTS = save(source)
    with caplog.at_level(logging.INFO, "lt_det"):
        head = start(tiny_cfg, LTTrainer.build_model(tiny_cfg))
    assert tuple(head.cls_loss.class_stats.value().image_count) == toy_lvis.image_count
    assert "not those of MODEL.WEIGHTS" in caplog.text


def test_reinit_does_not_mix_statistics_of_two_data_sets(tiny_cfg, build, save):
    """Counts of 80 classes do not fit 5; their number of images must not come alone."""
    source = build(num_classes=80)
    predictor(source).cls_loss.class_stats.assign(ClassStats(80, 9, np.ones(80), np.ones(80)))
    tiny_cfg.MODEL.WEIGHTS = save(source)
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLASSIFIER.REINIT = True
    tiny_cfg.DATASETS.CLASS_STATS_FILE = "checkpoint"
    head = start(tiny_cfg, LTTrainer.build_model(tiny_cfg))
    assert head.cls_loss.class_stats.value() is None


def test_finds_every_predictor(build):
    model = nn.ModuleList([build(), build(heads="StandardROIHeads")])
    assert list(box_predictors(model)) == [predictor(model[0])]
