"""The YAML files of ``configs/`` by kind, and their models, built without numbers."""

import torch
from detectron2.config import get_cfg
from paths import ROOT

from lt_det.config import add_lt_det_config
from lt_det.engine.freeze import freeze_parameters
from lt_det.engine.trainer import LTTrainer
from lt_det.openmoji.register import register_all_openmoji

CONFIGS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "configs").rglob("*.yaml")
    if path.parent.name not in ("studies", "comparisons") and not path.name.startswith("Base-")
)
LVIS = [name for name in CONFIGS if "LVIS" in name]
META = [name for name in CONFIGS if "_meta_" in name]


def load(name: str):
    cfg = get_cfg()
    add_lt_det_config(cfg)
    register_all_openmoji()
    cfg.merge_from_file(ROOT / name)
    cfg.MODEL.DEVICE = "meta"  # shapes without numbers: building is cheap
    return cfg


def build(cfg):
    """The model, with what ``SOLVER.TRAINABLE_PARAMS`` leaves to train."""
    with torch.device("meta"):
        model = LTTrainer.build_model(cfg)
    freeze_parameters(model, cfg.SOLVER.TRAINABLE_PARAMS)
    return model
