"""The training loader: Detectron2's, with lt_det's samplers."""

from __future__ import annotations

from collections.abc import Callable

from detectron2.config import CfgNode
from detectron2.data import build_detection_train_loader

from lt_det.data.samplers import build_train_sampler
from lt_det.data.statistics import check_num_classes, training_dicts

__all__ = ["build_train_loader"]


def build_train_loader(cfg: CfgNode, mapper: Callable | None = None):
    """Detectron2's training loader over ``DATASETS.TRAIN`` with the configured sampler.

    Args:
        cfg: the config.
        mapper: as in Detectron2; None is its DatasetMapper.

    Raises:
        ValueError: if ``NUM_CLASSES`` is not the data set's.
    """
    dataset_dicts = training_dicts(cfg)
    check_num_classes(cfg.DATASETS.TRAIN, cfg.MODEL.ROI_HEADS.NUM_CLASSES)
    return build_detection_train_loader(
        cfg,
        mapper=mapper,
        dataset=dataset_dicts,
        sampler=build_train_sampler(cfg, dataset_dicts),
    )
