"""The trainer: Detectron2's DefaultTrainer, on any device, for one stage or two."""

from __future__ import annotations

import logging
import os
import time
import weakref
from collections.abc import Iterable

import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer, SimpleTrainer
from detectron2.engine.defaults import create_ddp_model
from detectron2.engine.train_loop import TrainerBase
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from torch import nn

from lt_det.class_stats import ClassStats
from lt_det.config import check_config
from lt_det.data.loaders import build_train_loader
from lt_det.data.statistics import class_stats_from_config
from lt_det.engine.checkpoint import LTCheckpointer
from lt_det.engine.freeze import FrozenModulesInEval, freeze_parameters
from lt_det.evaluation.lvis_evaluator import LTLVISEvaluator
from lt_det.modeling.box_predictor import box_predictors

__all__ = ["AutocastTrainer", "LTTrainer", "initialize_from_weights"]

logger = logging.getLogger(__name__)


class AutocastTrainer(SimpleTrainer):
    """SimpleTrainer that runs the forward pass under autocast on the model's device.

    Detectron2's AMPTrainer wants CUDA and float16. Gradients are scaled for float16 alone:
    bfloat16 has float32's range.

    Constants among the losses (branches without a trainable parameter) are neither summed nor
    logged.
    """

    def __init__(self, model, data_loader, optimizer, dtype: torch.dtype | None = None):
        """``dtype`` is the autocast type, or None to train in float32."""
        super().__init__(model, data_loader, optimizer)
        self._device = next(model.parameters()).device
        self._dtype = dtype
        self._scaler = torch.amp.GradScaler(
            self._device.type, enabled=dtype == torch.float16 and self._device.type == "cuda"
        )

    def run_step(self) -> None:
        """One step of gradient descent."""
        assert self.model.training, "AutocastTrainer: the model was left in eval mode"
        start = time.perf_counter()
        data = next(self._data_loader_iter)
        data_time = time.perf_counter() - start
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype is not None):
            losses = self.model(data)
        losses = {name: loss for name, loss in losses.items() if loss.requires_grad}
        self.optimizer.zero_grad()
        self._scaler.scale(sum(losses.values())).backward()
        self.after_backward()
        self._write_metrics(losses, data_time)
        self._scaler.step(self.optimizer)
        self._scaler.update()

    def state_dict(self) -> dict:
        """Optimiser and gradient scaler."""
        return {**super().state_dict(), "scaler": self._scaler.state_dict()}

    def load_state_dict(self, state_dict: dict) -> None:
        """Inverse of :meth:`state_dict`."""
        super().load_state_dict(state_dict)
        self._scaler.load_state_dict(state_dict["scaler"])


class LTTrainer(DefaultTrainer):
    """DefaultTrainer with lt_det's loaders, evaluator, stages and autocast.

    It has an ``__init__`` of its own because DefaultTrainer's hard-codes a DDP wrapper whose
    ``device_ids`` fail on CPU, its loader before anything is frozen, and AMPTrainer.
    """

    def __init__(self, cfg: CfgNode):
        """Build model, optimiser, loader, scheduler, checkpointer and hooks from ``cfg``."""
        TrainerBase.__init__(self)
        cfg = DefaultTrainer.auto_scale_workers(cfg, comm.get_world_size())
        check_config(cfg)
        model = self.build_model(cfg)
        freeze_parameters(model, cfg.SOLVER.TRAINABLE_PARAMS)
        optimizer = self.build_optimizer(cfg, model)
        data_loader = self.build_train_loader(cfg)
        # device_ids=None lets DDP follow the model's own device, CPU included.
        model = create_ddp_model(model, broadcast_buffers=False, device_ids=None)
        dtype = getattr(torch, cfg.SOLVER.AMP.PRECISION) if cfg.SOLVER.AMP.ENABLED else None
        self._trainer = AutocastTrainer(model, data_loader, optimizer, dtype)
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = LTCheckpointer(model, cfg.OUTPUT_DIR, trainer=weakref.proxy(self))
        self.start_iter = 0
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.cfg = cfg
        self.register_hooks([FrozenModulesInEval(model), *self.build_hooks()])

    def resume_or_load(self, resume: bool = True) -> None:
        """Resume the last checkpoint, or start from ``MODEL.WEIGHTS``.

        A resume takes everything, class statistics included, from the checkpoint; for a start see
        :func:`initialize_from_weights`.
        """
        if resume and self.checkpointer.has_checkpoint():
            super().resume_or_load(resume=True)
        else:
            initialize_from_weights(self.cfg, self.model, self.checkpointer)
        if comm.is_main_process():
            _save_class_stats(self.model, self.cfg.OUTPUT_DIR)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode):
        """See :func:`lt_det.data.loaders.build_train_loader`."""
        return build_train_loader(cfg)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """The LVIS evaluator, writing to ``OUTPUT_DIR/inference/<dataset_name>``."""
        folder = os.path.join(cfg.OUTPUT_DIR, "inference", dataset_name)
        return LTLVISEvaluator(dataset_name, output_dir=folder)


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
        buffers = predictor.cls_loss.class_stats
        if stats is not None:
            if buffers.is_set and buffers.value() != stats:
                logger.info("Class statistics are the training set's, not those of MODEL.WEIGHTS")
            buffers.assign(stats)


def _save_class_stats(model: nn.Module, output_dir: str) -> None:
    """Write ``class_stats.json``, so that a reader need not open a checkpoint."""
    values: Iterable[ClassStats | None] = (
        predictor.cls_loss.class_stats.value() for predictor in box_predictors(model)
    )
    stats = next(iter(values), None)
    if stats is not None:
        stats.save(os.path.join(output_dir, "class_stats.json"))
