"""A bank of a detector with stochastic depth stores features, not one random draw of them."""

import numpy as np
import pytest
import torch
from detectron2.utils.events import EventStorage
from toy_models import vitdet_model

from lt_det.bank.extract_training_set import build_feature_bank
from lt_det.engine.checkpoint import LTCheckpointer
from lt_det.losses import SoftmaxLoss
from lt_det.modeling import install_box_predictor

pytestmark = pytest.mark.integration


@pytest.fixture
def vitdet(bank_cfg, toy_lvis, tmp_path):
    """ViTDet with timm's DropPath, in training mode; its checkpoint is ``MODEL.WEIGHTS``."""
    model = vitdet_model(bank_cfg, toy_lvis.num_classes, drop_path=0.5)
    install_box_predictor(model, cls_loss=SoftmaxLoss(toy_lvis.num_classes))
    LTCheckpointer(model, str(tmp_path)).save("vitdet")
    bank_cfg.MODEL.WEIGHTS = str(tmp_path / "vitdet.pth")
    return model.train()


def test_its_depth_is_random_while_it_trains(vitdet):
    """Otherwise the next test would prove nothing."""
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad(), EventStorage():
        first, second = (vitdet.backbone(images)["p2"] for _ in range(2))
    assert not first.equal(second)


def test_two_visits_of_an_image_have_equal_features(bank_cfg, vitdet, tmp_path):
    """Without random augmentation, and with all background kept, nothing else could differ."""
    bank_cfg.FEATURE_BANK.NUM_VIEWS, bank_cfg.FEATURE_BANK.IMS_PER_BATCH = 2, 1
    bank = build_feature_bank(bank_cfg, vitdet, tmp_path / "bank")
    half = len(bank) // 2
    first, second = (bank.rows(np.arange(half) + start) for start in (0, half))
    assert half > 20
    assert first.gt_classes.equal(second.gt_classes)
    assert first.features.equal(second.features)
    assert vitdet.training
    assert vitdet.backbone.training
