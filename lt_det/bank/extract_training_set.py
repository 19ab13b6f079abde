"""Extract the feature bank of a training set: the RoIs that stage 2 may sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from detectron2.config import CfgNode
from torch import nn

from lt_det.bank.extraction import Extraction, extract, stored
from lt_det.bank.feature_bank import FeatureBank
from lt_det.bank.identity import bank_identity
from lt_det.bank.sampling import bank_sampling
from lt_det.data.loaders import training_dataset
from lt_det.engine.autocast_trainer import autocast_of
from lt_det.engine.freeze import FrozenModulesInEval, FrozenProposals
from lt_det.modeling.find_predictors import only_predictor
from lt_det.modeling.roi_recorder import record_rois
from lt_det.utils.seeding import picture_number

__all__ = ["build_feature_bank"]

# Of augmentations and background samples: one bank serves every SEED of stage 2.
BANK_SEED = 0
# Tells the seed of a picture's background sample from that of its augmentation.
_BACKGROUND = 1


def build_feature_bank(
    cfg: CfgNode, model: nn.Module, path: str | Path, after_shard: Callable[[], None] = lambda: None
) -> FeatureBank:
    """The bank of ``MODEL.WEIGHTS`` on ``DATASETS.TRAIN``, extracted as far as it is not there.

    RoIs are those of training: proposals and ground truth under the training augmentation, the
    foreground whole, the background sampled (``FEATURE_BANK.NUM_BACKGROUND``). All ranks call it;
    each extracts its share.

    Args:
        cfg: a config of the detector; ``FEATURE_BANK`` says what is kept.
        model: the detector, with the weights of ``MODEL.WEIGHTS``; nothing in it changes.
        path: the bank's folder.
        after_shard: see :class:`Extraction`.

    Raises:
        StaleBankError: if the folder holds a bank of other weights, data, settings or code.
        ValueError: if a shard is damaged, features exceed the stored type, or the model has
            not one lt_det box predictor.
    """
    only_predictor(model)
    dataset = training_dataset(cfg, BANK_SEED)
    records = dataset.records
    num_visits = len(records) * cfg.FEATURE_BANK.NUM_VIEWS
    keys = ("INPUT", "FEATURE_BANK", "SOLVER.AMP", "DATALOADER.FILTER_EMPTY_ANNOTATIONS")
    identity = bank_identity(cfg, cfg.DATASETS.TRAIN, records, keys)
    extraction = Extraction(
        path=Path(path),
        identity=identity,
        dataset=dataset,
        picture_of=[visit % len(records) for visit in range(num_visits)],
        forward=_forward(cfg, model),
        title="features",
        batch_size=cfg.FEATURE_BANK.IMS_PER_BATCH,
        after_shard=after_shard,
    )
    folder = extract(cfg, model, extraction)
    heads = cfg.MODEL.ROI_HEADS
    return FeatureBank(
        folder,
        len(records),
        heads.NUM_CLASSES,
        heads.BATCH_SIZE_PER_IMAGE,
        heads.POSITIVE_FRACTION,
        cfg.MODEL.DEVICE,
    )


def _forward(cfg: CfgNode, model: nn.Module):
    """A function from a batch of mapped pictures to the columns of each."""

    def forward(batch: list[dict]) -> Iterable[dict[str, np.ndarray]]:
        # Made here, where nothing trains: both ask which parameters do.
        norms, proposals = FrozenModulesInEval(model), FrozenProposals(model)
        model.train()
        norms.before_step()
        proposals.before_step()
        seeds = [(BANK_SEED, record["place"].position, _BACKGROUND) for record in batch]
        with (
            autocast_of(cfg),
            bank_sampling(model, cfg.FEATURE_BANK.NUM_BACKGROUND, seeds) as totals,
            record_rois(model) as recorded,
        ):
            model(batch)
        proposals.after_step()
        (rois,) = recorded
        columns = (rois.features, rois.gt_classes, rois.boxes)
        parts = zip(*(column.split(rois.num_per_image) for column in columns), strict=True)
        for record, total, (features, gt_classes, boxes) in zip(batch, totals, parts, strict=True):
            yield {
                "features": stored(features, cfg.FEATURE_BANK.DTYPE),
                "gt_classes": gt_classes.cpu().numpy().astype(np.int32),
                "boxes": stored(boxes, "float32"),
                "num_rows": np.array([len(gt_classes)]),
                "num_background": np.array([total]),
                "picture": np.array([picture_number(record)]),
            }

    return forward
