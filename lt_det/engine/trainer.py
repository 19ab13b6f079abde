"""The trainer: Detectron2's DefaultTrainer, on any device, for one stage or two."""

from __future__ import annotations

import logging
import weakref

import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer, HookBase
from detectron2.engine.defaults import create_ddp_model
from detectron2.engine.hooks import EvalHook
from detectron2.engine.train_loop import TrainerBase
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from torch import nn

from lt_det.config import check_config
from lt_det.data.datasets.check import check_datasets, check_same_classes
from lt_det.data.datasets.register import register_from_config
from lt_det.data.datasets.training_sets import check_num_classes
from lt_det.data.loaders import build_meta_loader, build_test_loader, build_train_loader
from lt_det.data.statistics import class_stats_from_config
from lt_det.engine.autocast_trainer import AutocastTrainer
from lt_det.engine.bilevel.report import ClassRatesReport
from lt_det.engine.bilevel.trainer import MetaTrainer, build_meta_step
from lt_det.engine.check_start import check_box_predictors, check_device
from lt_det.engine.checkpoint import LTCheckpointer
from lt_det.engine.feature_adaptation import FeatureAdaptation, adapting_predictors
from lt_det.engine.fingerprint import (
    KEPT_KEYS,
    fingerprint,
    log_kept_settings,
    warn_of_differences,
)
from lt_det.engine.finite import save_on_failure
from lt_det.engine.freeze import FrozenModulesInEval, FrozenProposals, freeze_parameters
from lt_det.engine.gradient_ratio import GradientRatio
from lt_det.engine.stop_after import StopOnInterrupt
from lt_det.engine.test_sets import (
    build_evaluator,
    check_groups,
    check_test_sets,
    save_class_stats,
)
from lt_det.modeling.find_predictors import box_predictors, read_known_negatives

__all__ = ["LTTrainer", "initialize_from_weights"]

logger = logging.getLogger(__name__)


class LTTrainer(DefaultTrainer):
    """DefaultTrainer with lt_det's loaders, evaluator, stages and autocast.

    It has an ``__init__`` of its own because DefaultTrainer's hard-codes a DDP wrapper whose
    ``device_ids`` fail on CPU, its loader before anything is frozen, and AMPTrainer.
    """

    def __init__(self, cfg: CfgNode):
        """Check the data sets, then build everything from ``cfg``.

        The evaluators of ``DATASETS.TEST`` are built before the model, by ``build_evaluator``, so
        that a fault of a test set does not cost a training.

        Raises:
            FileNotFoundError: if a data set, or a file that the config names, is missing.
            ValueError: if one is faulty, or the config contradicts itself or the data.
        """
        TrainerBase.__init__(self)
        cfg = DefaultTrainer.auto_scale_workers(cfg, comm.get_world_size())
        check_config(cfg)
        register_from_config(cfg)
        check_datasets((*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST))
        check_device(cfg)
        self._seed_is_drawn = cfg.SEED < 0
        cfg = with_seed(cfg, comm.shared_random_seed() if self._seed_is_drawn else cfg.SEED)
        # The data first: what is wrong with it is found in seconds.
        data_loader = self.build_train_loader(cfg)
        check_same_classes(cfg)
        check_test_sets(cfg, cfg.DATASETS.TEST, type(self))
        model = self.build_model(cfg)
        freeze_parameters(model, cfg.SOLVER.TRAINABLE_PARAMS)
        optimizer = self.build_optimizer(cfg, model)
        # device_ids=None lets DDP follow the model's own device, CPU included.
        model = create_ddp_model(model, broadcast_buffers=False, device_ids=None)
        self._trainer = self.build_step(cfg, model, data_loader, optimizer)
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = LTCheckpointer(model, cfg.OUTPUT_DIR, trainer=weakref.proxy(self))
        self.start_iter = 0
        # Of a training that is resumed: settings of its first step, and those that stay.
        self._at_start: dict[str, str] = {}
        self._kept: dict[str, str] = {}
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.cfg = cfg
        frozen = [FrozenModulesInEval(model), FrozenProposals(model)]
        self.register_hooks([*frozen, *self.build_hooks()])

    def run_step(self) -> None:
        """One iteration; a loss that is not finite saves the state before it and stops."""
        with save_on_failure(self.checkpointer):
            super().run_step()

    def resume_or_load(self, resume: bool = True) -> None:
        """Resume the last checkpoint, or start from ``MODEL.WEIGHTS``.

        A resume takes everything, class statistics included, from the checkpoint; for a start see
        :func:`initialize_from_weights`. After a start, the checkpoints that were in ``OUTPUT_DIR``
        are no longer ones to resume.
        """
        if resume and self.checkpointer.has_checkpoint():
            super().resume_or_load(resume=True)
            self._continue_data_loader()
            self._save_final_if_done()
            self._say_if_done()
        else:
            self.checkpointer.set_earlier_training_aside()
            initialize_from_weights(self.cfg, self.model, self.checkpointer)
        save_class_stats(self.model, self.cfg.OUTPUT_DIR)
        is_ours = self.build_evaluator.__func__ is LTTrainer.build_evaluator.__func__
        if self.cfg.DATASETS.TEST and is_ours:
            # The model's statistics are known by now: it may have none.
            check_groups(self.cfg)

    def _say_if_done(self) -> None:
        if self.start_iter >= self.max_iter:
            logger.warning(
                "The training in OUTPUT_DIR %s is finished: all %d steps are done, and there is "
                "nothing left to train. %s (A larger SOLVER.MAX_ITER trains on.)",
                self.cfg.OUTPUT_DIR,
                self.start_iter,
                "It is evaluated again." if self.cfg.DATASETS.TEST else "",
            )

    def _save_final_if_done(self) -> None:
        """A kill between the last periodic checkpoint and the final one leaves no step to do it."""
        # Not whether the file is there: it may be an earlier training's.
        is_final = self.checkpointer.resumed_from == "model_final.pth"
        if self.start_iter >= self.max_iter and not is_final:
            self.checkpointer.save("model_final", iteration=self.iter)

    def state_dict(self) -> dict:
        """As DefaultTrainer's, with what decides the pictures and the model."""
        data_loader = self._trainer.data_loader
        now = fingerprint(self.cfg, data_loader) | self._kept
        kept = {"fingerprint": now, "fingerprint_at_start": self._at_start or now}
        return {**super().state_dict(), **kept}

    def load_state_dict(self, state_dict: dict) -> None:
        """Inverse of :meth:`state_dict`; a resume under other settings is warned of."""
        super().load_state_dict(state_dict)
        now = fingerprint(self.cfg, self._trainer.data_loader)
        last = state_dict.get("fingerprint", {})
        # Checkpoints of before do not have it; what the last part began with is all they know.
        self._at_start = state_dict.get("fingerprint_at_start", last)
        self._kept = {key: last[key] for key in KEPT_KEYS if key in last}
        warn_of_differences(self._at_start, last, now)
        log_kept_settings(last, now)

    def _continue_data_loader(self) -> None:
        """Let the loader go on where the checkpoint was written."""
        if self._trainer.seed != self.cfg.SEED:
            # Drawn when the training began (SEED negative), or another SEED than it began with.
            logger.log(
                logging.INFO if self._seed_is_drawn else logging.WARNING,
                "Resuming with the training's own SEED %d, not %d",
                self._trainer.seed,
                self.cfg.SEED,
            )
            cfg = with_seed(self.cfg, self._trainer.seed)
            self._trainer.reset_data_loader(lambda: self.build_train_loader(cfg))
            if cfg.SOLVER.META.NAME:
                self._trainer.meta_loader = build_meta_loader(cfg, self._trainer.data_loader)
        for loader in self._trainer.loaders:
            if hasattr(type(loader), "start_batch"):
                loader.start_batch = self.start_iter
            else:
                logger.warning(
                    "%s cannot start in the middle: the data stream begins anew, and the resumed "
                    "training will differ from an uninterrupted one",
                    type(loader).__name__,
                )

    @classmethod
    def build_step(cls, cfg: CfgNode, model: nn.Module, data_loader, optimizer) -> AutocastTrainer:
        """What trains in a step: everything by the losses, or classifiers and their class rates."""
        dtype = getattr(torch, cfg.SOLVER.AMP.PRECISION) if cfg.SOLVER.AMP.ENABLED else None
        if not cfg.SOLVER.META.NAME:
            return AutocastTrainer(model, data_loader, optimizer, dtype, cfg.SEED)
        return MetaTrainer(
            model,
            data_loader,
            build_meta_loader(cfg, data_loader),
            build_meta_step(cfg, model, optimizer, data_loader.plan),
            optimizer,
            dtype,
            cfg.SEED,
            one_pass=cfg.SOLVER.META.ONE_PASS,
        )

    def build_hooks(self) -> list[HookBase]:
        """Detectron2's, and those of Ctrl-C, class rates, augmentations and the gradient ratio."""
        hooks = super().build_hooks()
        if comm.get_world_size() == 1:
            # Behind the checkpointer, before an evaluation, which Ctrl-C stops at once.
            kinds = [isinstance(hook, EvalHook) for hook in hooks]
            hooks.insert(kinds.index(True), StopOnInterrupt())
        if adapting_predictors(self.model):
            # Behind the timer of the step, before checkpoints.
            hooks.insert(1, FeatureAdaptation(self.cfg, self.model, self._trainer.data_loader))
        if isinstance(self._trainer, MetaTrainer):
            # Before the writers, which come last.
            report = ClassRatesReport(self._trainer.meta_step, self.model, self.cfg)
            hooks.insert(len(hooks) - 1, report)
        if self.cfg.SOLVER.GRADIENT_RATIO.PERIOD:
            # Before the checkpointer: a checkpoint holds the sums of its own step.
            hooks.insert(0, GradientRatio(self.model, self.cfg, self._trainer.loss_scale))
        return hooks

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        """Detectron2's ``build_model``, and a check that our keys have an effect on it."""
        check_device(cfg)
        model = super().build_model(cfg)
        check_box_predictors(cfg, model)
        read_known_negatives(model)
        logger.info(
            "Model: %s of %.1f million parameters",
            type(model).__name__,
            sum(parameter.numel() for parameter in model.parameters()) / 1e6,
        )
        return model

    @classmethod
    def build_train_loader(cls, cfg: CfgNode):
        """See :func:`lt_det.data.loaders.build_train_loader`."""
        return build_train_loader(cfg)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str):
        """See :func:`lt_det.data.loaders.build_test_loader`."""
        loader = build_test_loader(cfg, dataset_name)
        # The set is loaded now, so its classes are known.
        check_num_classes([dataset_name], cfg.MODEL.ROI_HEADS.NUM_CLASSES)
        return loader

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """The evaluator of the data set's format, writing to ``OUTPUT_DIR/inference/<name>``.

        LVIS-format sets have the groups of their annotation file, unless
        ``DATASETS.GROUP_THRESHOLDS`` differ from LVIS's. Otherwise, and for COCO-format sets,
        groups follow from the model's class statistics. ``TEST.GROUPS_FILE`` has others.

        Raises:
            ValueError: if the set is of another format, or the groups need class statistics and
                the model has none.
        """
        return build_evaluator(cfg, dataset_name)

    @classmethod
    def test(cls, cfg: CfgNode, model: nn.Module, evaluators=None) -> dict:
        """See DefaultTrainer; the model's class statistics are written to ``OUTPUT_DIR`` first."""
        save_class_stats(model, cfg.OUTPUT_DIR)
        return super().test(cfg, model, evaluators)


def with_seed(cfg: CfgNode, seed: int) -> CfgNode:
    """``cfg`` with another ``SEED``."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.SEED = seed
    cfg.freeze()
    return cfg


def initialize_from_weights(cfg: CfgNode, model: nn.Module, checkpointer: LTCheckpointer) -> None:
    """Start a training from ``MODEL.WEIGHTS``.

    Class statistics are the training set's, not the checkpoint's, and a difference is logged.
    With ``CLASSIFIER.REINIT`` the classifier starts anew, whatever the checkpoint's width.
    """
    stats = class_stats_from_config(cfg)
    checkpointer.allow_other_classifier = cfg.MODEL.ROI_BOX_HEAD.CLASSIFIER.REINIT
    checkpointer.load(cfg.MODEL.WEIGHTS, checkpointables=[])
    for predictor in box_predictors(model):
        if cfg.MODEL.ROI_BOX_HEAD.CLASSIFIER.REINIT:
            predictor.reset_classifier()
            # Every rank drew its own, after DDP had made them equal.
            for parameter in predictor.cls_score.parameters():
                if comm.get_world_size() > 1:
                    torch.distributed.broadcast(parameter.data, src=0)
        buffers = predictor.cls_loss.class_stats
        if stats is not None:
            if buffers.is_set and buffers.value() != stats:
                logger.info("Class statistics are the training set's, not those of MODEL.WEIGHTS")
            buffers.assign(stats)
