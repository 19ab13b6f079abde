"""BALMS on a feature bank: the bilevel step without a pass through the body."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage
from torch import nn

from lt_det.data.loaders import build_batch_plan, build_meta_plan
from lt_det.data.meta_sampler import MetaBatchPlan
from lt_det.data.stream import BatchPlan
from lt_det.engine.class_rates_report import ClassRatesReport
from lt_det.engine.feature_bank import FeatureBank, prepare_classifier
from lt_det.engine.meta_trainer import build_meta_step
from lt_det.modeling.roi_recorder import RoIs

__all__ = ["meta_batches", "train_classifier_and_rates"]


def train_classifier_and_rates(
    cfg: CfgNode, model: nn.Module, bank: FeatureBank, dataset_dicts: Sequence[dict]
) -> None:
    """Train the classifier of ``model`` and its class rates, as ``SOLVER.META`` asks for.

    A step sees the RoIs of ``SOLVER.IMS_PER_BATCH`` pictures of the training stream and as many of
    the meta stream, as a step of the whole detector does. Writes the report of the rates.

    Args:
        cfg: the config; ``SOLVER.TRAINABLE_PARAMS`` must lie within the classifier.
        model: the model the bank was extracted with.
        bank: its features.
        dataset_dicts: the training records, in the bank's order.

    Raises:
        ValueError: see :func:`prepare_classifier` and :func:`build_meta_step`.
    """
    _, optimizer, scheduler = prepare_classifier(cfg, model)
    seed = max(cfg.SEED, 0)
    plan = build_batch_plan(cfg, dataset_dicts, seed)
    step = build_meta_step(cfg, model, optimizer, plan)
    report = ClassRatesReport(step, model, cfg)
    batches = meta_batches(cfg, bank, plan, dataset_dicts, seed)
    with EventStorage() as storage:
        for iteration, batch in enumerate(itertools.islice(batches, cfg.SOLVER.MAX_ITER)):
            step.look_ahead(*batch)
            step.commit(iteration)
            scheduler.step()
            storage.step()
    report.after_train()


def meta_batches(
    cfg: CfgNode,
    bank: FeatureBank,
    plan: BatchPlan | MetaBatchPlan,
    dataset_dicts: Sequence[dict],
    seed: int,
) -> Iterator[tuple[list[RoIs], list[RoIs], list[dict]]]:
    """Endless arguments of :meth:`MetaStep.look_ahead` from a bank.

    Args:
        cfg: the config.
        bank: features of the training set.
        plan: the training stream.
        dataset_dicts: the training records, in the bank's order.
        seed: of the meta stream and of the choice among an image's visits.
    """
    generator = torch.Generator().manual_seed(seed)
    meta_plan = build_meta_plan(cfg, dataset_dicts, seed)
    for places, meta_places in zip(plan, meta_plan, strict=False):
        train = bank.rois((place.index for place in places), generator)
        meta = bank.rois((place.index for place in meta_places), generator)
        yield [train], [meta], [{"place": place} for place in places]
