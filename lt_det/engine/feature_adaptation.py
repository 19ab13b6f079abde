"""Feature augmentations adapt to the loss on held-out training pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from detectron2.config import CfgNode
from detectron2.data.build import trivial_batch_collator
from detectron2.engine import HookBase
from detectron2.utils import comm
from detectron2.utils.events import EventStorage
from torch import nn
from torch.utils.data import DataLoader

from lt_det.data.held_out import HELD_OUT_SEED
from lt_det.data.stream import Place, ResumableLoader
from lt_det.engine.autocast_trainer import autocast_of
from lt_det.engine.freeze import FrozenModulesInEval, FrozenProposals, frozen
from lt_det.modeling.box_predictor import LTFastRCNNOutputLayers
from lt_det.modeling.find_predictors import box_predictors
from lt_det.modeling.roi_heads import seeded_roi_sampling
from lt_det.modeling.roi_recorder import RoIs, record_rois
from lt_det.utils.distributed import sum_over_ranks
from lt_det.utils.seeding import picture_number

__all__ = ["FeatureAdaptation", "adapt", "adapting_predictors", "period_of"]


class FeatureAdaptation(HookBase):
    """After every period, the augmentations of a detector see the losses on held-out pictures.

    Its RoIs are those of training: proposals and objects under the training augmentation.

    Args:
        cfg: the config.
        model: in training, maybe wrapped for several processes.
        loader: of the training, with held-out pictures.

    Raises:
        ValueError: if the loader has none.
    """

    def __init__(self, cfg: CfgNode, model: nn.Module, loader: ResumableLoader):
        held_out = getattr(loader, "held_out", None)
        if not held_out:
            raise ValueError(
                "MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION adapts to held-out training pictures, but "
                f"{type(loader).__name__} has none: use lt_det.data.loaders.build_train_loader"
            )
        self._model = getattr(model, "module", model)
        self._held_out = held_out
        self._period = period_of(cfg, len(loader.dataset))
        self._batch_size = max(cfg.SOLVER.IMS_PER_BATCH // comm.get_world_size(), 1)
        self._num_workers = cfg.DATALOADER.NUM_WORKERS
        self._cfg = cfg

    def after_step(self) -> None:
        """Evaluate and adapt, where a period ends."""
        if (self.trainer.iter + 1) % self._period == 0:
            adapt(list(box_predictors(self._model)), self._rois())

    def _rois(self) -> Iterator[list[RoIs]]:
        """This rank's share of the pictures, in batches: the RoIs at each predictor."""
        share = range(comm.get_rank(), len(self._held_out), comm.get_world_size())
        places = [Place(index, index) for index in share]
        batches = [
            places[start : start + self._batch_size]
            for start in range(0, len(places), self._batch_size)
        ]
        loader = DataLoader(
            self._held_out,
            batch_sampler=batches,
            num_workers=self._num_workers,
            collate_fn=trivial_batch_collator,
        )
        with torch.no_grad(), frozen(self._model), autocast_of(self._cfg):
            # Made here, where nothing trains: both ask which parameters do.
            norms, proposals = FrozenModulesInEval(self._model), FrozenProposals(self._model)
            self._model.train()
            norms.before_step()
            proposals.before_step()
            try:
                for batch in loader:
                    yield self._rois_of(batch)
            finally:
                proposals.after_step()

    def _rois_of(self, batch: list[dict]) -> list[RoIs]:
        seeds = [(HELD_OUT_SEED, picture_number(record)) for record in batch]
        # The training's own storage is not to hear of these pictures.
        with (
            EventStorage(),
            seeded_roi_sampling(self._model, seeds),
            record_rois(self._model) as rois,
        ):
            self._model(batch)
        return rois


@torch.no_grad()
def adapt(predictors: Sequence[LTFastRCNNOutputLayers], batches: Iterable[Sequence[RoIs]]) -> None:
    """Let augmentations adapt to their losses. All ranks call it, each with its pictures.

    Ranks may have different numbers of batches.

    Args:
        predictors: of a model.
        batches: RoIs of held-out pictures, at each of the predictors.
    """
    sums = [torch.zeros(p.num_classes + 1, dtype=torch.float64) for p in predictors]
    numbers = torch.zeros(len(predictors), dtype=torch.float64)
    for batch in _in_step(batches, [_no_rois(p) for p in predictors]):
        for index, (predictor, rois) in enumerate(zip(predictors, batch, strict=True)):
            losses = _losses(predictor, rois).double()
            weights = 1.0 if rois.weights is None else rois.weights.double()
            sums[index].index_add_(0, rois.gt_classes.cpu(), (losses * weights).cpu())
            numbers[index] += rois.num_rois.cpu()
    numbers = sum_over_ranks(numbers).clamp(min=1)
    for predictor, total, number in zip(predictors, sums, numbers, strict=True):
        class_stats = predictor.cls_loss.class_stats
        class_losses = (sum_over_ranks(total) / number)[: predictor.num_classes]
        predictor.feature_augmentation.adapt(
            class_losses.to(class_stats.image_count.device), class_stats
        )


def _in_step(batches: Iterable[Sequence[RoIs]], nothing: list[RoIs]) -> Iterator[Sequence[RoIs]]:
    """A rank's batches, and ``nothing`` while others have more: a loss may ask all ranks."""
    own = iter(batches)
    while True:
        batch = next(own, None)
        if not sum_over_ranks(torch.tensor(int(batch is not None))):
            return
        yield nothing if batch is None else batch


def _no_rois(predictor: LTFastRCNNOutputLayers) -> RoIs:
    augmentation = predictor.feature_augmentation
    empty = augmentation.num_steps.new_empty(0)
    shape = 0, predictor.num_classes
    return RoIs(
        torch.empty(0, augmentation.feature_size, device=empty.device),
        empty,
        [],
        known_negatives=torch.empty(shape, dtype=torch.bool, device=empty.device),
    )


def _losses(predictor: LTFastRCNNOutputLayers, rois: RoIs) -> torch.Tensor:
    logits = predictor.cls_score(rois.features)
    mask = predictor.cls_loss.draw_mask(rois.gt_classes, rois.known_negatives, rois.weights)
    return predictor.cls_loss(logits.float(), rois.gt_classes, mask)


def adapting_predictors(model: nn.Module) -> list[LTFastRCNNOutputLayers]:
    """The predictors whose augmentation adapts."""
    return [
        predictor
        for predictor in box_predictors(model)
        if getattr(predictor.feature_augmentation, "adapts", False)
    ]


def period_of(cfg: CfgNode, num_pictures: int) -> int:
    """Steps between evaluations, see ``FEATURE_AUGMENTATION.PERIOD``."""
    period = cfg.MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION.PERIOD
    return period or max(round(num_pictures / cfg.SOLVER.IMS_PER_BATCH), 1)
