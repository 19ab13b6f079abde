"""Stage 2 on a feature bank: choose the schedule on a dev split, train, evaluate."""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from detectron2.config import CfgNode
from iopath.common.file_io import file_lock
from torch import nn

from lt_det.bank.extract_training_set import build_feature_bank
from lt_det.bank.feature_bank import FeatureBank
from lt_det.bank.training import train_classifier
from lt_det.data.datasets.check import check_datasets
from lt_det.data.datasets.training_sets import training_dicts
from lt_det.engine.check_start import require_weights
from lt_det.engine.checkpoint import LTCheckpointer
from lt_det.engine.run import setup
from lt_det.engine.test_sets import check_test_sets
from lt_det.engine.trainer import LTTrainer, initialize_from_weights
from lt_det.utils.atomic_file import atomic_text
from lt_det.utils.seeding import seed_everything

__all__ = ["build_bank", "run_from_args", "select_schedule", "train_on_bank", "with_schedule"]

logger = logging.getLogger(__name__)


def build_bank(cfg: CfgNode, path: str | Path) -> FeatureBank:
    """The bank of ``MODEL.WEIGHTS`` on ``DATASETS.TRAIN`` in the folder ``path``.

    Raises:
        ValueError: see :func:`lt_det.bank.extract_training_set.build_feature_bank`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    model = LTTrainer.build_model(cfg)
    LTCheckpointer(model).load(cfg.MODEL.WEIGHTS)
    # Two rows of a study that start together extract it once.
    with file_lock(str(path)):
        return build_feature_bank(cfg, model, path)


def train_on_bank(cfg: CfgNode, bank: FeatureBank, records: Sequence[dict]) -> nn.Module:
    """Stage 2 by ``cfg`` on a bank of its training records: a model with a trained classifier."""
    # A classifier may start anew (CLASSIFIER.REINIT).
    seed_everything(max(cfg.SEED, 0))
    model = LTTrainer.build_model(cfg)
    initialize_from_weights(cfg, model, LTCheckpointer(model))
    train_classifier(cfg, model, bank, records)
    return model


def select_schedule(
    cfg: CfgNode,
    bank: FeatureBank,
    records: Sequence[dict],
    base_lrs: Sequence[float],
    max_iters: Sequence[int],
    dataset_name: str,
    path: str | Path,
) -> dict:
    """Choose ``SOLVER.BASE_LR`` and ``MAX_ITER`` by box AP on a dev split.

    Boxes alone are evaluated: the classifier decides boxes and masks alike, and masks cost most.

    Args:
        cfg: stage-2 config.
        bank: features of its training set.
        records: its training records.
        base_lrs: learning rates to try.
        max_iters: lengths to try.
        dataset_name: the dev split, never the one that is reported.
        path: JSON file; trials it holds already are not run again.

    Returns:
        ``{"base_lr", "max_iter", "trials": [{"base_lr", "max_iter", "AP", "APr", ...}]}``.
    """
    trials = json.loads(Path(path).read_text())["trials"] if Path(path).is_file() else []
    known = {(trial["base_lr"], trial["max_iter"]) for trial in trials}
    for base_lr, max_iter in itertools.product(base_lrs, max_iters):
        if (base_lr, max_iter) in known:
            continue
        trial_cfg = with_schedule(cfg, base_lr, max_iter)
        model = train_on_bank(trial_cfg, bank, records)
        model.roi_heads.mask_on = False
        trial_cfg.defrost()
        trial_cfg.DATASETS.TEST = (dataset_name,)
        trial_cfg.OUTPUT_DIR = os.path.join(cfg.OUTPUT_DIR, "select")
        metrics = LTTrainer.test(trial_cfg, model)["bbox"]
        trials.append(
            {"base_lr": base_lr, "max_iter": max_iter}
            | {name: metrics[name] for name in ("AP", "APr", "APc", "APf")}
        )
        best = max(trials, key=lambda trial: trial["AP"])
        chosen = {"base_lr": best["base_lr"], "max_iter": best["max_iter"], "trials": trials}
        with atomic_text(path) as file:
            json.dump(chosen, file, indent=1)
    return json.loads(Path(path).read_text())


def with_schedule(cfg: CfgNode, base_lr: float, max_iter: int) -> CfgNode:
    """``cfg`` with another rate and length; steps keep their relative positions."""
    steps = [round(step * max_iter / cfg.SOLVER.MAX_ITER) for step in cfg.SOLVER.STEPS]
    cfg = cfg.clone()
    cfg.defrost()
    cfg.SOLVER.BASE_LR, cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = base_lr, max_iter, tuple(steps)
    cfg.freeze()
    return cfg


def run_from_args(args: argparse.Namespace) -> dict:
    """The job of ``tools/train_classifier.py``; returns the results on ``DATASETS.TEST``."""
    cfg = setup(args)
    test_sets = (*cfg.DATASETS.TEST, *([args.dev] if args.dev else []))
    check_datasets((*cfg.DATASETS.TRAIN, *test_sets))
    require_weights(cfg)
    check_test_sets(cfg, test_sets, LTTrainer)
    bank, records = build_bank(cfg, args.bank), training_dicts(cfg)
    if args.base_lr and args.max_iter:
        grid = args.base_lr, args.max_iter
        chosen = select_schedule(cfg, bank, records, *grid, args.dev, args.selection)
        cfg = with_schedule(cfg, chosen["base_lr"], chosen["max_iter"])
    model = train_on_bank(cfg, bank, records)
    LTCheckpointer(model, cfg.OUTPUT_DIR).save("model_final")
    return LTTrainer.test(cfg, model)
