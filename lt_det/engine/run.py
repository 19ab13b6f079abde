"""One job of ``tools/train_net.py``: config, then training or evaluation."""

from __future__ import annotations

import lt_det.utils.quiet  # noqa: F401 # isort: skip

import argparse
import logging
import os
import re
import shlex
import sys
import time
from pathlib import Path

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng
from torch import distributed

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
from lt_det.engine.test_sets import check_test_sets
from lt_det.engine.trainer import LTTrainer
from lt_det.openmoji.register import register_all_openmoji
from lt_det.utils.logs import IN_FILE_ONLY, set_up_logs

__all__ = [
    "config_from_args",
    "evaluate",
    "how_to_continue",
    "run_from_args",
    "setup",
    "train",
]

logger = logging.getLogger(__name__)
_START = time.time()


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
    """Config, output folder, logs and seed of a job.

    Does what Detectron2's ``default_setup`` does, with less on the console and no colours in files:
    the whole config is in ``OUTPUT_DIR/config.yaml``, command and environment are in ``log.txt``.
    """
    cfg = config_from_args(args)
    os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
    rank = comm.get_rank()
    set_up_logs(cfg.OUTPUT_DIR, rank, comm.get_world_size())
    logger.info("Command line: %s", shlex.join(sys.orig_argv), extra=IN_FILE_ONLY)
    if comm.is_main_process():
        Path(cfg.OUTPUT_DIR, "config.yaml").write_text(cfg.dump())
    logger.info(
        "Config %s. Output goes to %s: config.yaml has all settings, log.txt the environment, the "
        "model and all that is said here",
        args.config_file or "without a file",
        cfg.OUTPUT_DIR,
    )
    # Each process has its own, and the same at every start.
    seed_all_rng(None if cfg.SEED < 0 else cfg.SEED + rank)
    if not getattr(args, "eval_only", False):
        torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK
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
    if len(cfg.DATASETS.TEST) > 1:
        # The evaluation builds each after that of the one before.
        check_test_sets(cfg, cfg.DATASETS.TEST, LTTrainer)
    model = LTTrainer.build_model(cfg)
    LTCheckpointer(model, save_dir=cfg.OUTPUT_DIR).resume_or_load(cfg.MODEL.WEIGHTS, resume=resume)
    return LTTrainer.test(cfg, model)


def how_to_continue(args: argparse.Namespace) -> str:
    """Return the line that follows Ctrl-C: what is saved, and the command that goes on from it."""
    if args.eval_only:
        return "interrupted"
    folder = Path(config_from_args(args).OUTPUT_DIR)
    tag = folder / "last_checkpoint"
    # One that was there before is of this training only if this was a resume.
    if not tag.is_file() or not (args.resume or tag.stat().st_mtime >= _START):
        return "interrupted before the first checkpoint: the same command begins anew"
    name = tag.read_text().strip()
    number = re.fullmatch(r"model_(\d+)\.pth", name)
    steps = f" after {int(number[1]) + 1} steps" if number else ""
    saved = f"interrupted; saved{steps}: {folder / name}. Continue with: "
    if distributed.is_torchelastic_launched():
        return f"{saved}the same command and --resume"
    command = list(sys.orig_argv)
    if not args.resume:
        # Behind the script: options that start with -- come before KEY VALUE.
        command.insert(len(command) - len(sys.argv) + 1, "--resume")
    return f"{saved}{shlex.join(command)}"
