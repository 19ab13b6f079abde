"""The bilevel training step in the detector: BALMS with Meta Reweighter or Meta Sampler."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from detectron2.config import CfgNode
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import nn

from lt_det.data.meta_plan import MetaBatchPlan
from lt_det.data.stream import ResumableLoader
from lt_det.engine.autocast_trainer import AutocastTrainer
from lt_det.engine.bilevel.look_ahead import GradientClip
from lt_det.engine.bilevel.methods import MetaReweighter, MetaSampler
from lt_det.engine.bilevel.step import MetaStep
from lt_det.engine.finite import check_finite
from lt_det.modeling.find_predictors import box_predictors
from lt_det.modeling.roi_heads import seeded_roi_sampling
from lt_det.modeling.roi_recorder import RoIs, record_rois
from lt_det.utils.seeding import picture_number, seed_everything

__all__ = ["MetaTrainer", "build_meta_step"]

META_NAMES = ("MetaReweighter", "MetaSampler")


def build_meta_step(
    cfg: CfgNode, model: nn.Module, optimizer: torch.optim.Optimizer, plan: MetaBatchPlan | None
) -> MetaStep:
    """The step that ``SOLVER.META`` asks for.

    Args:
        cfg: the config.
        model: a detector of which the classifiers alone train.
        optimizer: of these.
        plan: the training stream of the Meta Sampler; the Meta Reweighter has none.

    Raises:
        ValueError: if the name is unknown, the model has none of lt_det's box predictors, or more
            than their classifiers trains.
    """
    name, meta = cfg.SOLVER.META.NAME, cfg.SOLVER.META
    if name not in META_NAMES:
        raise ValueError(f"Expected SOLVER.META.NAME to be '' or one of {META_NAMES}, got {name!r}")
    predictors = list(box_predictors(model))
    check_classifiers_alone_train(cfg, model)
    if name == "MetaSampler":
        method = MetaSampler(plan)
    else:
        method = MetaReweighter(predictors[0].num_classes, meta.REWEIGHTER.NORMALIZED)
    clip = cfg.SOLVER.CLIP_GRADIENTS
    return MetaStep(
        predictors,
        optimizer,
        method,
        base_lr=meta.BASE_LR,
        outer_loss=meta.OUTER_LOSS,
        rescale=meta.RESCALE,
        clip=GradientClip(clip.CLIP_TYPE, clip.CLIP_VALUE, clip.NORM_TYPE)
        if clip.ENABLED
        else None,
    )


def check_classifiers_alone_train(cfg: CfgNode, model: nn.Module) -> None:
    """Raise ValueError unless the classifiers of lt_det's box predictors, and they alone, train."""
    predictors = list(box_predictors(model))
    if not predictors:
        raise ValueError(
            f"SOLVER.META.NAME {cfg.SOLVER.META.NAME!r} learns rates of the RoIs' classes, but "
            f"{type(model).__name__} has none of lt_det's box predictors: use one of lt_det's ROI "
            "heads or install_box_predictor; dense detectors have no RoIs"
        )
    own = {id(p) for predictor in predictors for p in predictor.cls_score.parameters()}
    names = [n for n, p in model.named_parameters() if p.requires_grad and id(p) not in own]
    if names:
        raise ValueError(
            f"SOLVER.META.NAME {cfg.SOLVER.META.NAME!r} looks one step of the classifier ahead, "
            f"but SOLVER.TRAINABLE_PARAMS also trains {names[:3]}: set it to ('*cls_score*',). A "
            "body that trains would need a forward-mode product through the whole detector"
        )


class MetaTrainer(AutocastTrainer):
    """A step of :class:`MetaStep` on the features of the frozen detector.

    Two passes through the body a step: the training batch's serves look-ahead and real step. The
    classifiers' part is computed in float32, whatever autocast makes of the body.

    Args:
        model: see :func:`build_meta_step`.
        data_loader: training batches.
        meta_loader: class-balanced batches of training pictures.
        meta_step: the step.
        optimizer: the one ``meta_step`` has.
        dtype: see :class:`AutocastTrainer`.
        seed: see :class:`AutocastTrainer`.
        one_pass: both batches in one pass through the body: twice the memory.
    """

    def __init__(
        self,
        model: nn.Module,
        data_loader: ResumableLoader,
        meta_loader: ResumableLoader,
        meta_step: MetaStep,
        optimizer: torch.optim.Optimizer,
        dtype: torch.dtype | None = None,
        seed: int = 0,
        one_pass: bool = False,
    ):
        super().__init__(model, data_loader, optimizer, dtype, seed)
        self.meta_step = meta_step
        self.meta_loader = meta_loader
        self._meta_iter = None
        self._one_pass = one_pass

    def run_step(self) -> None:
        """One step of rates and classifiers."""
        assert self.model.training, "MetaTrainer: the model was left in eval mode"
        if self._meta_iter is None:
            self._meta_iter = iter(self.meta_loader)
        start = time.perf_counter()
        batch, meta_batch = next(self._data_loader_iter), next(self._meta_iter)
        data_time = time.perf_counter() - start
        seed_everything(self.seed, self.iter, comm.get_rank())
        if self._one_pass:
            both = [rois.split(len(batch)) for rois in self._rois(batch + meta_batch)]
            train, meta = zip(*both, strict=True)
        else:
            train, meta = self._rois(batch), self._rois(meta_batch)
        losses, outer_loss = self.meta_step.look_ahead(train, meta, batch)
        check_finite({**losses, "outer_loss": outer_loss}, batch + meta_batch, self.iter)
        self.meta_step.commit(self.iter)
        self._write_metrics(losses, data_time)
        get_event_storage().put_scalar("meta/outer_loss", float(outer_loss))

    @torch.no_grad()
    def _rois(self, batch: list[Mapping]) -> list[RoIs]:
        """What reaches the box predictors, none of whose features has a gradient."""
        seeds = [(self.seed, self.iter, picture_number(record)) for record in batch]
        with (
            torch.autocast(self._device.type, self._dtype, enabled=self._dtype is not None),
            seeded_roi_sampling(self.model, seeds),
            record_rois(self.model) as rois,
        ):
            self.model(batch)
        return rois

    @property
    def loaders(self) -> list[ResumableLoader]:
        """Every stream of pictures."""
        return [self.data_loader, self.meta_loader]

    def reset_data_loader(self, data_loader_builder) -> None:
        """See SimpleTrainer; the Meta Sampler's rates go on in the new stream."""
        old = self.data_loader.plan
        super().reset_data_loader(data_loader_builder)
        if isinstance(old, MetaBatchPlan):
            self.data_loader.plan.load_state_dict(old.state_dict())
            self.meta_step.method.plan = self.data_loader.plan

    def state_dict(self) -> dict:
        """As AutocastTrainer's, with rates, their optimiser and the versions still to be used."""
        state = {**super().state_dict(), "meta": self.meta_step.state_dict()}
        if isinstance(self.data_loader.plan, MetaBatchPlan):
            state["meta"]["versions"] = self.data_loader.plan.state_dict()
        return state

    def load_state_dict(self, state_dict: dict) -> None:
        """Inverse of :meth:`state_dict`.

        Raises:
            ValueError: if the checkpoint is of a training without class rates.
        """
        super().load_state_dict(state_dict)
        if "meta" not in state_dict:
            raise ValueError(
                "The last checkpoint has no class rates, so its training was another one: choose "
                "another OUTPUT_DIR, or name it in MODEL.WEIGHTS and leave out --resume"
            )
        self.meta_step.load_state_dict(state_dict["meta"])
        if isinstance(self.data_loader.plan, MetaBatchPlan):
            self.data_loader.plan.load_state_dict(state_dict["meta"]["versions"])
