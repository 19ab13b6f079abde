"""How much of the class rates' gradient is signal: its mean and spread over batches.

Adam moves a rate by about its learning rate a step, whatever the gradient's size. Where the spread
over batches is much larger than the mean, most of these steps are a random walk.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage
from tabulate import tabulate
from torch import nn
from tqdm import tqdm

from lt_det.bank.feature_bank import FeatureBank
from lt_det.bank.training import meta_batches, prepare_classifier
from lt_det.class_stats import GROUP_NAMES
from lt_det.compare.studies.decoupled import build_bank
from lt_det.data.datasets.training_sets import training_dicts
from lt_det.data.loaders import build_batch_plan
from lt_det.engine.bilevel.methods import MetaSampler
from lt_det.engine.bilevel.trainer import build_meta_step
from lt_det.engine.checkpoint import LTCheckpointer
from lt_det.engine.trainer import LTTrainer
from lt_det.modeling.find_predictors import box_predictors

__all__ = ["noise_by_group", "noise_table", "rate_gradients"]

# Standard errors between a class's mean gradient and 0 that count as a direction.
CLEAR = 3.0


def noise_table(cfg: CfgNode, bank_path: str, checkpoint: str, steps: int) -> str:
    """Markdown: the rates' gradient by group at one classifier, with all rates at 0.5.

    Args:
        cfg: a stage-2 config with ``SOLVER.META``; ``MODEL.WEIGHTS`` is its stage 1.
        bank_path: see :func:`build_bank`.
        checkpoint: of a stage 2, whose classifier is looked at.
        steps: batches.
    """
    bank = build_bank(cfg, bank_path)
    model = LTTrainer.build_model(cfg)
    LTCheckpointer(model).load(checkpoint)
    gradients = rate_gradients(cfg, model, bank, training_dicts(cfg), steps)
    (predictor,) = box_predictors(model)
    groups = predictor.cls_loss.require_class_stats().value().groups(cfg.DATASETS.GROUP_THRESHOLDS)
    headers = ["group", "classes", "batches with a gradient", "|mean| / spread of a batch"]
    headers += ["rate clearly up", "clearly down"]
    rows = noise_by_group(gradients, groups)
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


def rate_gradients(
    cfg: CfgNode, model: nn.Module, bank: FeatureBank, dataset_dicts: Sequence[dict], steps: int
) -> np.ndarray:
    """The gradient of the rates in each of ``steps`` batches, (steps, K); nothing moves."""
    predictor, optimizer, _ = prepare_classifier(cfg, model)
    seed = max(cfg.SEED, 0)
    plan = build_batch_plan(cfg, dataset_dicts, seed)
    step = build_meta_step(cfg, model, optimizer, plan)
    uses_known_negatives = predictor.cls_loss.uses_known_negatives
    batches = meta_batches(cfg, bank, plan, dataset_dicts, seed, uses_known_negatives)
    batches = itertools.islice(batches, steps)
    gradients = []
    with EventStorage():
        for batch in tqdm(batches, total=steps, desc="batches", unit="batch"):
            step.look_ahead(*batch)
            gradients.append(step.phi.grad.cpu().numpy().copy())
            if isinstance(step.method, MetaSampler):
                plan.set_phi(len(gradients), step.phi)
    return np.stack(gradients)


def noise_by_group(gradients: np.ndarray, groups: np.ndarray) -> list[list]:
    """Rows of the table, one a group that has classes.

    Args:
        gradients: (steps, K), at least two steps.
        groups: (K,), index in :data:`GROUP_NAMES`.
    """
    mean, spread = gradients.mean(axis=0), gradients.std(axis=0, ddof=1)
    # A class without any gradient has no direction.
    ratio = np.divide(mean, spread, out=np.zeros_like(mean), where=spread > 0)
    errors = ratio * np.sqrt(len(gradients))
    rows = []
    for group, name in enumerate(GROUP_NAMES):
        of_group = groups == group
        if of_group.any():
            rows.append(
                [
                    name,
                    int(of_group.sum()),
                    f"{100 * np.mean(gradients[:, of_group] != 0):.1f} %",
                    f"{np.median(np.abs(ratio[of_group])):.3f}",
                    # Descent: a negative gradient raises the rate.
                    int((errors[of_group] < -CLEAR).sum()),
                    int((errors[of_group] > CLEAR).sum()),
                ]
            )
    return rows
