"""BALMS on a feature bank: the steps of the detector, without its body."""

import json

import pytest
import torch
from detectron2.data import DatasetMapper
from detectron2.modeling import build_model
from detectron2.utils.env import seed_all_rng

from lt_det.data.samplers import build_train_sampler
from lt_det.data.statistics import training_dicts
from lt_det.engine.feature_bank import extract_features, train_classifier
from lt_det.engine.meta_bank import train_classifier_and_rates

pytestmark = pytest.mark.integration


@pytest.fixture
def cfg(tiny_cfg, tmp_path):
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = "BalancedSoftmaxLoss"
    tiny_cfg.MODEL.RESNETS.NORM = "GN"
    tiny_cfg.SOLVER.TRAINABLE_PARAMS = ("*cls_score*",)
    tiny_cfg.SOLVER.MAX_ITER, tiny_cfg.SOLVER.STEPS, tiny_cfg.SOLVER.BASE_LR = 8, (100,), 0.1
    tiny_cfg.SOLVER.META.SAMPLER.LAG = 2
    tiny_cfg.OUTPUT_DIR = str(tmp_path)
    return tiny_cfg


@pytest.fixture
def train(cfg):
    """name -> the trained classifier's weight and the learned rates."""
    dicts, mapper = training_dicts(cfg), DatasetMapper(cfg, is_train=True)

    def _train(name: str) -> tuple[torch.Tensor, torch.Tensor | None]:
        cfg.SOLVER.META.NAME = name
        seed_all_rng(0)
        model = build_model(cfg)
        bank = extract_features(model, dicts, mapper)
        if not name:
            train_classifier(cfg, model, bank, build_train_sampler(cfg, dicts, cfg.SEED))
            return model.roi_heads.box_predictor.cls_score.weight.detach(), None
        train_classifier_and_rates(cfg, model, bank, dicts)
        with open(f"{cfg.OUTPUT_DIR}/class_rates.json") as file:
            rates = torch.tensor(json.load(file)["rate"])
        return model.roi_heads.box_predictor.cls_score.weight.detach(), rates

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
