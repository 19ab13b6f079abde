"""Stages of trainings."""

from pathlib import Path

import pytest
import torch

from lt_det.engine.run import train


@pytest.fixture(scope="session")
def stage_one(make_tiny_cfg, tmp_path_factory) -> Path:
    """Folder of a trained stage 1. All tests share it and none writes to it."""
    folder = tmp_path_factory.mktemp("stage_one")
    cfg = make_tiny_cfg(folder)
    cfg.DATASETS.TEST = ()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LT_DET_CACHE", str(tmp_path_factory.mktemp("cache")))
        torch.manual_seed(0)
        train(cfg)
    return folder


@pytest.fixture
def stage_two(tiny_cfg, stage_one):
    """Config of stage 2 from the shared stage 1."""
    tiny_cfg.MODEL.WEIGHTS = str(stage_one / "model_final.pth")
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = "BalancedSoftmaxLoss"
    tiny_cfg.SOLVER.TRAINABLE_PARAMS = ("*cls_score*",)
    tiny_cfg.SOLVER.MAX_ITER = 2
    return tiny_cfg


@pytest.fixture
def unequal_stage_two(tiny_cfg, toy_lvis):
    """The classifier alone, on pictures with unequal numbers of RoIs, one of them without any
    object; data registered by the config, which other processes can do too."""
    tiny_cfg.DATASETS.REGISTER = [
        [toy_lvis.train, "lvis", str(toy_lvis.train_json), str(toy_lvis.image_root)]
    ]
    tiny_cfg.DATASETS.TEST = ()
    tiny_cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    tiny_cfg.SOLVER.TRAINABLE_PARAMS = ("*cls_score*",)
    tiny_cfg.SOLVER.IMS_PER_BATCH = 4
    tiny_cfg.SOLVER.MAX_ITER = 20
    tiny_cfg.SOLVER.BASE_LR = 0.05
    # More than there are proposals: a picture has as many RoIs as the RPN and the objects give,
    # but of the foreground only one, drawn at random.
    tiny_cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 128
    tiny_cfg.MODEL.ROI_HEADS.POSITIVE_FRACTION = 0.01
    return tiny_cfg
