"""Class statistics of any registered data set, cached by the annotation file's content."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.utils.file_io import PathManager

from lt_det.class_stats import ClassStats
from lt_det.data.cache.mapped_records import counting_records, join_records, select_records
from lt_det.data.datasets.record_source import dataset_records
from lt_det.data.datasets.register import register_from_config
from lt_det.data.datasets.training_sets import check_num_classes, training_dicts
from lt_det.data.datasets.usable_records import own_records
from lt_det.data.held_out import split_held_out
from lt_det.data.samplers import image_weights_from_config
from lt_det.utils.cache_folder import cache_folder
from lt_det.utils.code_digest import code_digest
from lt_det.utils.file_digest import file_digest

__all__ = ["FROM_CHECKPOINT", "class_stats_from_config", "compute_class_stats"]

logger = logging.getLogger(__name__)

# Value of DATASETS.CLASS_STATS_FILE for a model that takes its statistics from its checkpoint.
FROM_CHECKPOINT = "checkpoint"


def class_stats_from_config(cfg: CfgNode) -> ClassStats | None:
    """Compute or load the statistics the config asks for.

    ``DATASETS.CLASS_STATS_FILE``: "" computes them from ``DATASETS.TRAIN`` without the images that
    ``DATASETS.HOLDOUT`` sets aside, "checkpoint" leaves them to the checkpoint (None is returned),
    anything else is a file of ``ClassStats.save``.

    Raises:
        ValueError: if they are not of ``MODEL.ROI_HEADS.NUM_CLASSES`` classes.
    """
    # Here as well as in lt_det's tools: Detectron2's own script knows no DATASETS.REGISTER.
    register_from_config(cfg)
    source = cfg.DATASETS.CLASS_STATS_FILE
    num_classes = cfg.MODEL.ROI_HEADS.NUM_CLASSES
    if source == FROM_CHECKPOINT or (not source and not cfg.DATASETS.TRAIN):
        return None
    if source:
        stats = ClassStats.load(source)
    elif cfg.DATALOADER.REPEAT_CORRECTED:
        stats = _repeat_corrected(cfg)
    elif cfg.DATASETS.HOLDOUT:
        stats = _without_held_out(cfg)
    else:
        stats = compute_class_stats(cfg.DATASETS.TRAIN, num_classes)
    if stats.num_classes != num_classes:
        raise ValueError(
            f"MODEL.ROI_HEADS.NUM_CLASSES is {num_classes}, but the class statistics of "
            f"{source or cfg.DATASETS.TRAIN} are of {stats.num_classes} classes"
        )
    return stats


def compute_class_stats(dataset_names: str | Sequence[str], num_classes: int) -> ClassStats:
    """Count the classes of registered data sets, or read the count from the cache.

    The cache lies in :func:`lt_det.utils.cache_folder.cache_folder` and is keyed by the content
    of the annotation files. Only sets that are known to be the whole of their file are cached
    (metadata ``is_whole_json_file``); a user's own function may filter it, and is counted anew.
    """
    names = [dataset_names] if isinstance(dataset_names, str) else list(dataset_names)
    cache_file = _cache_file(names, num_classes)
    if cache_file is not None and cache_file.is_file():
        try:
            return ClassStats.load(cache_file)
        except ValueError:
            logger.warning("Counting again: the cached %s is damaged", cache_file)
    dicts = counting_records(join_records([_all_records(name) for name in names]))
    check_num_classes(names, num_classes)
    stats = ClassStats.from_dicts(dicts, num_classes)
    if cache_file is not None:
        try:
            stats.save(cache_file)
        except OSError as error:
            logger.warning("Class statistics are not cached: %s", error)
    return stats


def _all_records(name: str) -> Sequence[dict]:
    records = dataset_records(name)
    return own_records(name) if records is None else records


def _without_held_out(cfg: CfgNode) -> ClassStats:
    """Count the classes of the images that train."""
    records = join_records([_all_records(name) for name in cfg.DATASETS.TRAIN])
    check_num_classes(cfg.DATASETS.TRAIN, cfg.MODEL.ROI_HEADS.NUM_CLASSES)
    kept, _ = split_held_out(cfg, records)
    trains = np.zeros(len(records))
    trains[kept] = 1
    # Weights, because a selection of several data sets would be read into memory.
    return ClassStats.from_dicts(counting_records(records), cfg.MODEL.ROI_HEADS.NUM_CLASSES, trains)


def _repeat_corrected(cfg: CfgNode) -> ClassStats:
    """Count the classes as the training sampler shows them, in expectation."""
    records = training_dicts(cfg)
    kept, _ = split_held_out(cfg, records)
    dicts = counting_records(select_records(records, kept))
    check_num_classes(cfg.DATASETS.TRAIN, cfg.MODEL.ROI_HEADS.NUM_CLASSES)
    return ClassStats.from_dicts(
        dicts, cfg.MODEL.ROI_HEADS.NUM_CLASSES, image_weights_from_config(cfg, dicts)
    )


def _cache_file(names: Sequence[str], num_classes: int) -> Path | None:
    folder = cache_folder("class_stats")
    if folder is None:
        return None
    digest = hashlib.sha256(f"{code_digest(__name__)} {num_classes}".encode())
    for name in names:
        metadata = MetadataCatalog.get(name)
        if not metadata.get("is_whole_json_file", False):
            return None
        path = PathManager.get_local_path(metadata.json_file)
        if not os.path.isfile(path):
            return None
        # What an ignored object is depends on both.
        how = metadata.get("evaluator_type"), metadata.get("ignore")
        digest.update(f"{file_digest(path)} {how}".encode())
    return folder / f"{digest.hexdigest()}.json"
