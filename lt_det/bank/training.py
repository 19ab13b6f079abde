"""Train the classifier of a frozen detector on its feature bank."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence

import torch
from detectron2.config import CfgNode
from detectron2.solver import build_lr_scheduler, build_optimizer
from detectron2.utils.events import EventStorage, get_event_storage
from torch import nn
from tqdm import trange

from lt_det.bank.batches import (
    ROI_SAMPLERS,
    class_aware_rois,
    held_out_rois,
    picture_rois,
)
from lt_det.bank.feature_bank import FeatureBank
from lt_det.data.cache.mapped_records import select_records
from lt_det.data.held_out import split_held_out
from lt_det.data.loaders import build_batch_plan, build_meta_plan
from lt_det.data.meta_plan import MetaBatchPlan
from lt_det.data.stream import BatchPlan
from lt_det.engine.bilevel.report import ClassRatesReport
from lt_det.engine.bilevel.trainer import build_meta_step
from lt_det.engine.feature_adaptation import adapt, adapting_predictors, period_of
from lt_det.engine.freeze import freeze_parameters
from lt_det.modeling.box_predictor import LTFastRCNNOutputLayers
from lt_det.modeling.find_predictors import only_predictor
from lt_det.modeling.roi_recorder import RoIs
from lt_det.utils.seeding import seed_everything

__all__ = [
    "DivergedError",
    "classifier_steps",
    "meta_batches",
    "prepare_classifier",
    "train_classifier",
]


class DivergedError(ValueError):
    """A classifier whose parameters are no longer finite."""


def train_classifier(
    cfg: CfgNode, model: nn.Module, bank: FeatureBank, dataset_dicts: Sequence[dict]
) -> None:
    """Train the classifier of ``model``, and its class rates if ``SOLVER.META`` asks for them.

    A step sees the RoIs that a step of the detector would see: those of ``SOLVER.IMS_PER_BATCH``
    pictures of the same stream, sampled alike. With all background kept, no random augmentation and
    features in float32 the trained classifier is the detector's, to rounding.

    Args:
        cfg: the config; ``SOLVER.TRAINABLE_PARAMS`` must lie within the classifier.
        model: the detector the bank was extracted with.
        bank: its features.
        dataset_dicts: the training records, in the bank's order.

    Raises:
        DivergedError: if the training diverged.
        ValueError: if a trainable parameter lies below the classifier, or the settings contradict
            each other. See also :func:`build_meta_step`.
    """
    with EventStorage():
        steps = classifier_steps(cfg, model, bank, dataset_dicts)
        for _ in trange(cfg.SOLVER.MAX_ITER, desc="classifier", leave=False):
            next(steps)
        steps.close()
    predictor = only_predictor(model)
    if not all(p.isfinite().all() for p in predictor.cls_score.parameters()):
        raise DivergedError(
            f"The classifier diverged within {cfg.SOLVER.MAX_ITER} steps at SOLVER.BASE_LR "
            f"{cfg.SOLVER.BASE_LR}: lower it"
        )


def classifier_steps(
    cfg: CfgNode, model: nn.Module, bank: FeatureBank, dataset_dicts: Sequence[dict]
) -> Iterator[None]:
    """The steps of :func:`train_classifier`, endlessly, whose arguments and errors these are.

    They need an ``EventStorage``. Closing them reports the class rates, where there are any.
    """
    predictor, optimizer, scheduler = prepare_classifier(cfg, model)
    storage = get_event_storage()
    seed = max(cfg.SEED, 0)
    kept, held_out = split_held_out(cfg, dataset_dicts)
    if held_out:
        aside, bank = bank.subset(held_out), bank.subset(kept)
        uses_known_negatives = predictor.cls_loss.uses_known_negatives
        aside_records = select_records(dataset_dicts, held_out) if uses_known_negatives else None
        dataset_dicts = select_records(dataset_dicts, kept)
    period = period_of(cfg, len(kept)) if held_out and adapting_predictors(model) else 0
    if cfg.SOLVER.META.NAME:
        steps = _meta_steps(cfg, model, optimizer, bank, dataset_dicts, seed)
    else:
        steps = _plain_steps(cfg, predictor, optimizer, bank, dataset_dicts, seed)
    with contextlib.closing(steps):
        for iteration in itertools.count():
            # What a loss draws at random is drawn as in the detector.
            seed_everything(seed, iteration, 0)
            next(steps)
            scheduler.step()
            storage.step()
            if period and (iteration + 1) % period == 0:
                adapt([predictor], ([rois] for rois in held_out_rois(aside, aside_records)))
            yield


def prepare_classifier(
    cfg: CfgNode, model: nn.Module
) -> tuple[LTFastRCNNOutputLayers, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Freeze all but the classifier; the box predictor, its optimiser and learning rates.

    Raises:
        ValueError: if a trainable parameter lies below the classifier.
    """
    predictor = only_predictor(model)
    freeze_parameters(model, cfg.SOLVER.TRAINABLE_PARAMS)
    below = [n for n, p in model.named_parameters() if p.requires_grad and "cls_score" not in n]
    if below:
        raise ValueError(
            "A feature bank trains the classifier alone; SOLVER.TRAINABLE_PARAMS also matches "
            f"{below[:3]}: set it to ('*cls_score*',)"
        )
    predictor.train()
    optimizer = build_optimizer(cfg, model)
    return predictor, optimizer, build_lr_scheduler(cfg, optimizer)


def meta_batches(
    cfg: CfgNode,
    bank: FeatureBank,
    plan: BatchPlan | MetaBatchPlan,
    dataset_dicts: Sequence[dict],
    seed: int,
    uses_known_negatives: bool = False,
) -> Iterator[tuple[list[RoIs], list[RoIs], list[dict]]]:
    """Endless arguments of :meth:`MetaStep.look_ahead` from a bank.

    Args:
        cfg: the config.
        bank: features of the training set.
        plan: the training stream.
        dataset_dicts: the training records, in the bank's order.
        seed: of the training.
        uses_known_negatives: see :attr:`BoxClsLoss.uses_known_negatives`.
    """
    records = dataset_dicts if uses_known_negatives else None
    meta_plan = build_meta_plan(cfg, dataset_dicts, seed)
    for iteration, (places, meta_places) in enumerate(zip(plan, meta_plan, strict=False)):
        train = picture_rois(bank, places, seed, iteration, records)
        meta = picture_rois(bank, meta_places, seed, iteration, records)
        yield [train], [meta], [{"place": place} for place in places]


def _plain_steps(cfg, predictor, optimizer, bank, dataset_dicts, seed) -> Iterator[None]:
    for rois in _batches(cfg, bank, dataset_dicts, seed, predictor.cls_loss.uses_known_negatives):
        logits = predictor.cls_score(rois.features)
        loss = predictor.classification_loss(
            logits, rois.gt_classes, rois.weights, rois.known_negatives
        )
        loss = predictor.augmented_loss(loss, rois.features, logits, rois.gt_classes, rois.weights)
        optimizer.zero_grad()
        (loss * predictor.loss_weight.get("loss_cls", 1.0)).backward()
        optimizer.step()
        yield


def _meta_steps(cfg, model, optimizer, bank, dataset_dicts, seed) -> Iterator[None]:
    if cfg.FEATURE_BANK.ROI_SAMPLER:
        raise ValueError(
            f"SOLVER.META.NAME {cfg.SOLVER.META.NAME!r} draws pictures: set "
            f"FEATURE_BANK.ROI_SAMPLER '', not {cfg.FEATURE_BANK.ROI_SAMPLER!r}"
        )
    plan = build_batch_plan(cfg, dataset_dicts, seed)
    step = build_meta_step(cfg, model, optimizer, plan)
    report = ClassRatesReport(step, model, cfg)
    uses_known_negatives = only_predictor(model).cls_loss.uses_known_negatives
    batches = meta_batches(cfg, bank, plan, dataset_dicts, seed, uses_known_negatives)
    try:
        for iteration, batch in enumerate(batches):
            step.look_ahead(*batch)
            step.commit(iteration)
            yield
    finally:
        report.after_train()


def _batches(cfg, bank, dataset_dicts, seed, uses_known_negatives) -> Iterator[RoIs]:
    name = cfg.FEATURE_BANK.ROI_SAMPLER
    if name not in ROI_SAMPLERS:
        raise ValueError(
            f"Expected FEATURE_BANK.ROI_SAMPLER to be one of {ROI_SAMPLERS}, but got {name!r}"
        )
    if name and uses_known_negatives:
        raise ValueError(
            f"FEATURE_BANK.ROI_SAMPLER {name!r} does not know an RoI's picture, whose lists the "
            "loss reads: set it to '', or ONLY_KNOWN_NEGATIVES and KEEP_KNOWN_NEGATIVES of the "
            "loss to False"
        )
    if name:
        yield from class_aware_rois(cfg, bank, seed)
    records = dataset_dicts if uses_known_negatives else None
    for iteration, places in enumerate(build_batch_plan(cfg, dataset_dicts, seed)):
        yield picture_rois(bank, places, seed, iteration, records)
