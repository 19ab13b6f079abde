"""A detector to be frozen, its checkpoint, and a config that makes bank and detector agree."""

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils.env import seed_all_rng

from lt_det.engine.checkpoint import LTCheckpointer


@pytest.fixture
def bank_cfg(tiny_cfg, tmp_path):
    """Stage 2 of the tiny detector without random augmentation; all background is kept."""
    tiny_cfg.MODEL.RESNETS.NORM = "GN"
    tiny_cfg.INPUT.RANDOM_FLIP = "none"
    tiny_cfg.SOLVER.TRAINABLE_PARAMS = ("*cls_score*",)
    tiny_cfg.SOLVER.MAX_ITER, tiny_cfg.SOLVER.STEPS, tiny_cfg.SOLVER.BASE_LR = 8, (6,), 0.1
    tiny_cfg.SOLVER.WARMUP_ITERS = 2
    tiny_cfg.FEATURE_BANK.NUM_BACKGROUND = -1
    tiny_cfg.FEATURE_BANK.DTYPE = "float32"
    # Batches of one picture have no padding, nor have the detector's: all pictures are of a size.
    tiny_cfg.FEATURE_BANK.IMS_PER_BATCH = 2
    tiny_cfg.FEATURE_BANK.SHARD_PICTURES = 3
    seed_all_rng(3)
    model = build_model(tiny_cfg)
    # A fresh mask head and classifier are nearly constant.
    with torch.no_grad():
        model.roi_heads.box_predictor.cls_score.weight.mul_(20)
    LTCheckpointer(model, str(tmp_path)).save("stage1")
    tiny_cfg.MODEL.WEIGHTS = str(tmp_path / "stage1.pth")
    return tiny_cfg


@pytest.fixture
def stage1(bank_cfg):
    """The detector of ``MODEL.WEIGHTS``."""
    model = build_model(bank_cfg)
    LTCheckpointer(model).load(bank_cfg.MODEL.WEIGHTS)
    return model
