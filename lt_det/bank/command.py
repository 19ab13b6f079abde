"""The command of ``tools/extract_features.py``: a detector's banks, by all ranks."""

from __future__ import annotations

import argparse
from pathlib import Path

from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from lt_det.bank.extract_test_set import build_proposal_bank
from lt_det.bank.extract_training_set import build_feature_bank
from lt_det.data.datasets.check import check_datasets
from lt_det.engine.check_start import require_weights
from lt_det.engine.checkpoint import LTCheckpointer
from lt_det.engine.run import config_from_args
from lt_det.engine.test_sets import check_test_sets
from lt_det.engine.trainer import LTTrainer

__all__ = ["run_from_args"]


def run_from_args(args: argparse.Namespace) -> None:
    """Extract ``<output>/train`` and one ``<output>/<data set>`` for each of ``DATASETS.TEST``."""
    setup_logger(distributed_rank=comm.get_rank(), name="lt_det")
    cfg = config_from_args(args)
    require_weights(cfg)
    check_datasets((*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST))
    check_test_sets(cfg, cfg.DATASETS.TEST, LTTrainer)
    model = LTTrainer.build_model(cfg)
    LTCheckpointer(model).load(cfg.MODEL.WEIGHTS, checkpointables=[])
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    build_feature_bank(cfg, model, output / "train")
    for name in cfg.DATASETS.TEST:
        build_proposal_bank(cfg, model, name, output / name)
