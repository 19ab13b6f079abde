"""BALMS on a feature bank: rates move, and what background stands for counts."""

import json

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

from lt_det.bank.extract_training_set import build_feature_bank
from lt_det.bank.training import prepare_classifier, train_classifier
from lt_det.data.datasets.training_sets import training_dicts
from lt_det.engine.bilevel.trainer import build_meta_step
from lt_det.engine.checkpoint import LTCheckpointer
from lt_det.modeling.roi_recorder import RoIs

pytestmark = pytest.mark.integration


@pytest.fixture
def cfg(bank_cfg, tmp_path):
    bank_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = "BalancedSoftmaxLoss"
    bank_cfg.SOLVER.META.SAMPLER.LAG = 2
    bank_cfg.OUTPUT_DIR = str(tmp_path)
    return bank_cfg


@pytest.fixture
def train(cfg, stage1, tmp_path):
    """name -> the trained classifier's weight and the learned rates."""
    bank = build_feature_bank(cfg, stage1, tmp_path / "bank")

    def _train(name: str) -> tuple[torch.Tensor, torch.Tensor | None]:
        cfg.SOLVER.META.NAME = name
        model = build_model(cfg)
        LTCheckpointer(model).load(cfg.MODEL.WEIGHTS)
        train_classifier(cfg, model, bank, training_dicts(cfg))
        weight = model.roi_heads.box_predictor.cls_score.weight.detach()
        if not name:
            return weight, None
        with open(f"{cfg.OUTPUT_DIR}/class_rates.json") as file:
            return weight, torch.tensor(json.load(file)["rate"])

    return _train


@pytest.mark.parametrize("name", ["MetaReweighter", "MetaSampler"])
def test_rates_are_learned_and_repeat(train, name):
    weight, rates = train(name)
    assert (rates - 0.5).abs().max() > 1e-3
    again, same_rates = train(name)
    assert again.equal(weight)
    assert same_rates.equal(rates)


def test_rates_that_cannot_move_are_plain_training(cfg, train):
    cfg.SOLVER.META.BASE_LR = 0.0
    weight, rates = train("MetaReweighter")
    assert rates.eq(0.5).all()
    torch.testing.assert_close(weight, train("")[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["MetaReweighter", "MetaSampler"])
def test_a_weight_of_three_is_three_equal_rois(cfg, stage1, name):
    """Background that stands for more: losses, gradients and rates of repeated rows."""
    cfg.SOLVER.META.NAME = name
    num_classes = stage1.roi_heads.num_classes
    size = stage1.roi_heads.box_predictor.cls_score.in_features
    features = torch.rand(6, size)
    labels = torch.tensor([0, 1, num_classes, 2, num_classes, num_classes])
    repeats = torch.tensor([1, 1, 3, 1, 3, 3])
    weighted = RoIs(features, labels, [3, 3], repeats.float())
    repeated = RoIs(
        features.repeat_interleave(repeats, 0), labels.repeat_interleave(repeats), [5, 7]
    )
    assert float(weighted.num_rois) == len(repeated)
    results = []
    for rois in (weighted, repeated):
        model = build_model(cfg)
        LTCheckpointer(model).load(cfg.MODEL.WEIGHTS)
        predictor, optimizer, _ = prepare_classifier(cfg, model)
        from lt_det.data.loaders import build_batch_plan

        plan = build_batch_plan(cfg, training_dicts(cfg), 0)
        step = build_meta_step(cfg, model, optimizer, plan)
        places = next(iter(plan))
        with EventStorage():
            losses, outer = step.look_ahead([rois], [rois], [{"place": p} for p in places])
            gradient = step.phi.grad.clone()
            step.commit(0)
        results.append((losses["loss_cls"], outer, gradient, predictor.cls_score.weight.detach()))
    assert results[0][2].abs().max() > 0
    for of_weights, of_rows in zip(*results, strict=True):
        torch.testing.assert_close(of_weights, of_rows, rtol=1e-4, atol=1e-7)
