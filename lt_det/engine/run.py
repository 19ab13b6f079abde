"""One job of ``tools/train_net.py``: config, then training or evaluation."""

from __future__ import annotations

import lt_det.utils.quiet  # noqa: F401 # isort: skip

import argparse

from detectron2.config import CfgNode, get_cfg
from detectron2.engine import default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from lt_det.config import add_lt_det_config, check_config
from lt_det.data.datasets.check import check_datasets
from lt_det.data.datasets.register import register_from_config
from lt_det.data.statistics import FROM_CHECKPOINT
from lt_det.engine.check_start import (
    check_weights,
    has_last_checkpoint,
    require_weights,
    warn_of_other_weights,
)
from lt_det.engine.checkpoint import LTCheckpointer
from lt_det.engine.merge_config import merge_config
from lt_det.engine.stop_after import StopAfter
from lt_det.engine.trainer import LTTrainer
from lt_det.openmoji.register import register_all_openmoji

__all__ = ["config_from_args", "evaluate", "run_from_args", "setup", "train"]


def config_from_args(args: argparse.Namespace) -> CfgNode:
    """The frozen config of ``--config-file``, ``--eval-only`` and the trailing options.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: see :func:`merge_config`.
    """
    cfg = get_cfg()
    add_lt_det_config(cfg)
    register_all_openmoji()
    merge_config(cfg, args.config_file, args.opts)
    if getattr(args, "eval_only", False) and not cfg.DATASETS.CLASS_STATS_FILE:
        # Evaluation reads no training set.
        cfg.DATASETS.CLASS_STATS_FILE = FROM_CHECKPOINT
    cfg.freeze()
    register_from_config(cfg)
    return cfg


def setup(args: argparse.Namespace) -> CfgNode:
    """Config, output folder, logs and seed of a job."""
    cfg = config_from_args(args)
    default_setup(cfg, args)
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="lt_det")
    return cfg


def run_from_args(args: argparse.Namespace) -> dict:
    """Train or evaluate as Detectron2's command line arguments say; returns the results."""
    cfg = setup(args)
    if args.eval_only:
        return evaluate(cfg, resume=args.resume)
    return train(cfg, args.resume, getattr(args, "minutes", None))


def train(cfg: CfgNode, resume: bool = False, minutes: float | None = None) -> dict:
    """Train and return the results of the last evaluation.

    Args:
        cfg: the config.
        resume: go on from the last checkpoint.
        minutes: stop after so many, see :class:`StopAfter`.
    """
    stop = [] if minutes is None else [StopAfter(minutes)]
    if not (resume and has_last_checkpoint(cfg)):
        check_weights(cfg)
    trainer = LTTrainer(cfg)
    trainer.register_hooks(stop)
    trainer.resume_or_load(resume=resume)
    trainer.train()
    return getattr(trainer, "_last_eval_results", {})


def evaluate(cfg: CfgNode, resume: bool = False) -> dict:
    """Evaluate ``MODEL.WEIGHTS`` (or the last checkpoint with ``resume``) on ``DATASETS.TEST``.

    Raises:
        ValueError: if there is no trained model to evaluate, or the config contradicts itself.
    """
    check_config(cfg)
    check_datasets(cfg.DATASETS.TEST)
    if not (resume and has_last_checkpoint(cfg)):
        require_weights(cfg)
        warn_of_other_weights(cfg)
    model = LTTrainer.build_model(cfg)
    LTCheckpointer(model, save_dir=cfg.OUTPUT_DIR).resume_or_load(cfg.MODEL.WEIGHTS, resume=resume)
    return LTTrainer.test(cfg, model)
