"""A detector to be frozen: its config, which makes bank and detector agree, and its checkpoint."""

import torch
from detectron2.modeling import build_model
from detectron2.utils.env import seed_all_rng

from lt_det.engine.checkpoint import LTCheckpointer


def frozen_stage1(cfg, folder):
    """Make the tiny config one of stage 2; no random augmentation, and all background is kept.

    ``MODEL.WEIGHTS`` is ``folder/stage1.pth``.
    """
    cfg.MODEL.RESNETS.NORM = "GN"
    cfg.INPUT.RANDOM_FLIP = "none"
    cfg.SOLVER.TRAINABLE_PARAMS = ("*cls_score*",)
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS, cfg.SOLVER.BASE_LR = 8, (6,), 0.1
    cfg.SOLVER.WARMUP_ITERS = 2
    cfg.FEATURE_BANK.NUM_BACKGROUND = -1
    cfg.FEATURE_BANK.DTYPE = "float32"
    # Batches of one picture have no padding, nor have the detector's: all pictures are of a size.
    cfg.FEATURE_BANK.IMS_PER_BATCH = 2
    cfg.FEATURE_BANK.SHARD_PICTURES = 3
    seed_all_rng(2)
    model = build_model(cfg)
    # A fresh mask head and classifier are nearly constant.
    with torch.no_grad():
        model.roi_heads.box_predictor.cls_score.weight.mul_(20)
    LTCheckpointer(model, str(folder)).save("stage1")
    cfg.MODEL.WEIGHTS = str(folder / "stage1.pth")
    return cfg
