"""The loaders that the config asks for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetMapper, build_detection_test_loader
from detectron2.utils import comm
from torch.utils.data import DataLoader

from lt_det.data.cache.mapped_records import counting_records, join_records
from lt_det.data.checked_mapper import CheckedMapper, shared_flag
from lt_det.data.class_lists import ClassLists
from lt_det.data.datasets.lvis_builtin import load_builtin_test_set
from lt_det.data.datasets.training_sets import check_num_classes, training_sets
from lt_det.data.datasets.usable_records import usable_records
from lt_det.data.held_out import HELD_OUT_SEED, split_held_out
from lt_det.data.image_size import is_wide
from lt_det.data.meta_plan import GroupedImages, MetaBatchPlan
from lt_det.data.repeat_factors import repeat_factors
from lt_det.data.samplers import ClassAwareTrainingSampler, build_train_sampler
from lt_det.data.stream import BatchPlan, ResumableLoader, SeededDataset
from lt_det.data.training_masks import check_training_masks
from lt_det.utils.seeding import derived_seed

__all__ = [
    "build_batch_plan",
    "build_meta_loader",
    "build_meta_plan",
    "build_test_loader",
    "build_train_loader",
    "test_dataset",
    "training_dataset",
]

# Tells the meta stream's seed from the training stream's.
_META_STREAM = 1


def build_train_loader(cfg: CfgNode, mapper: Callable | None = None) -> ResumableLoader:
    """The training loader over ``DATASETS.TRAIN`` with the configured sampler.

    Pictures that ``DATASETS.HOLDOUT`` sets aside are its ``held_out``.

    Args:
        cfg: the config. A negative ``SEED`` draws one, which all ranks share.
        mapper: as in Detectron2; None is its DatasetMapper.

    Raises:
        ValueError: if ``NUM_CLASSES`` is not the data set's, if Detectron2's mapper cannot read its
            masks, or if the batch cannot be divided among the processes. While it is iterated over,
            also for an image that cannot be read, naming its file (FileNotFoundError for one that
            is missing).
    """
    seed = cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed()
    dataset = training_dataset(cfg, seed, mapper)
    kept, held_out = split_held_out(cfg, dataset.records)
    aside = dataset.subset(held_out).reseeded(HELD_OUT_SEED) if held_out else None
    dataset = dataset.subset(kept) if held_out else dataset
    plan = build_batch_plan(cfg, dataset.records, seed)
    return ResumableLoader(dataset, plan, cfg.DATALOADER.NUM_WORKERS, aside)


def training_dataset(cfg: CfgNode, seed: int, mapper: Callable | None = None) -> SeededDataset:
    """The pictures of ``DATASETS.TRAIN``, mapped; see :func:`build_train_loader`."""
    records = _records(cfg, needs_masks=mapper is None)
    check_num_classes(cfg.DATASETS.TRAIN, cfg.MODEL.ROI_HEADS.NUM_CLASSES)
    return SeededDataset(records, CheckedMapper(mapper or DatasetMapper(cfg, is_train=True)), seed)


def build_meta_loader(cfg: CfgNode, training: ResumableLoader) -> ResumableLoader:
    """The loader of :func:`build_meta_plan`, with other augmentations than the training stream's.

    Args:
        cfg: the config.
        training: the training loader, whose records, mapper and seed it shares.

    Raises:
        ValueError: see :func:`build_meta_plan`.
    """
    dataset = training.dataset
    plan = build_meta_plan(cfg, dataset.records, dataset.seed)
    dataset = dataset.reseeded(derived_seed(dataset.seed, _META_STREAM))
    return ResumableLoader(dataset, plan, cfg.DATALOADER.NUM_WORKERS)


def build_batch_plan(
    cfg: CfgNode, dataset_dicts: Sequence[dict], seed: int
) -> BatchPlan | MetaBatchPlan:
    """Batches of the training stream: ``DATALOADER.SAMPLER_TRAIN``'s, or the Meta Sampler's.

    Args:
        cfg: the config.
        dataset_dicts: training records.
        seed: of the stream.

    Raises:
        ValueError: see :func:`build_train_loader`; under the Meta Sampler, if ``SAMPLER_TRAIN`` is
            neither uniform nor by repeat factors.
    """
    batch_size = _check_batch_size("SOLVER.IMS_PER_BATCH", cfg.SOLVER.IMS_PER_BATCH)
    dataset_dicts = counting_records(dataset_dicts)
    is_wide = _is_wide(cfg, dataset_dicts)
    if cfg.SOLVER.META.NAME != "MetaSampler":
        return BatchPlan(build_train_sampler(cfg, dataset_dicts, seed), batch_size, is_wide)
    num_classes = cfg.MODEL.ROI_HEADS.NUM_CLASSES
    classes = ClassLists.from_dicts(dataset_dicts)
    images = GroupedImages(classes, _base_factors(cfg, dataset_dicts), is_wide, num_classes)
    return MetaBatchPlan(images, batch_size, num_classes, seed, cfg.SOLVER.META.SAMPLER.LAG)


def build_meta_plan(cfg: CfgNode, dataset_dicts: Sequence[dict], seed: int) -> BatchPlan:
    """Class-balanced batches of training pictures, which the outer loss of a bilevel step sees.

    A class is drawn, then a picture of it, both uniformly: no repeated index list is built. (The
    released code repeats each picture by the inverse frequency of its rarest class, 55 million
    indices on LVIS.) They are training pictures: those of a validation set would be trained on.

    Args:
        cfg: the config. ``SOLVER.META.IMS_PER_BATCH`` 0 is ``SOLVER.IMS_PER_BATCH``.
        dataset_dicts: training records.
        seed: of the training stream; this one derives its own.

    Raises:
        ValueError: if no training picture has an object, or the batch cannot be divided among the
            processes.
    """
    batch_size = _check_batch_size(
        "SOLVER.META.IMS_PER_BATCH", cfg.SOLVER.META.IMS_PER_BATCH or cfg.SOLVER.IMS_PER_BATCH
    )
    dataset_dicts = counting_records(dataset_dicts)
    sampler = ClassAwareTrainingSampler(
        dataset_dicts, cfg.MODEL.ROI_HEADS.NUM_CLASSES, derived_seed(seed, _META_STREAM)
    )
    return BatchPlan(sampler, batch_size, _is_wide(cfg, dataset_dicts))


def _base_factors(cfg: CfgNode, dataset_dicts: Sequence[dict]) -> torch.Tensor:
    """The repeat factors (N,) that the Meta Sampler starts from."""
    name = cfg.DATALOADER.SAMPLER_TRAIN
    if name == "RepeatFactorTrainingSampler":
        return repeat_factors(cfg, dataset_dicts)
    if name == "TrainingSampler":
        return torch.ones(len(dataset_dicts))
    raise ValueError(
        "SOLVER.META.NAME MetaSampler draws pictures by itself, on top of repeat factors: expected "
        "DATALOADER.SAMPLER_TRAIN to be 'TrainingSampler' or 'RepeatFactorTrainingSampler', but "
        f"got {name!r}"
    )


def _records(cfg: CfgNode, needs_masks: bool) -> Sequence[dict]:
    parts = []
    for name, records in training_sets(cfg):
        if needs_masks:
            check_training_masks(cfg, records, name)
        parts.append(records)
    return join_records(parts)


def _check_batch_size(key: str, batch_size: int) -> int:
    world_size = comm.get_world_size()
    if batch_size % world_size:
        raise ValueError(
            f"{key} is {batch_size}, which {world_size} processes cannot share equally: make it "
            "a multiple"
        )
    return batch_size


def _is_wide(cfg: CfgNode, dataset_dicts: Sequence[dict]) -> list[bool] | None:
    if not cfg.DATALOADER.ASPECT_RATIO_GROUPING:
        return None
    return [is_wide(record) for record in dataset_dicts]


def build_test_loader(cfg: CfgNode, dataset_name: str) -> DataLoader:
    """Detectron2's test loader, also for LVIS test sets whose files have no annotations."""
    if cfg.MODEL.LOAD_PROPOSALS:
        return build_detection_test_loader(cfg, dataset_name)
    return build_detection_test_loader(
        dataset=_test_records(dataset_name),
        mapper=_test_mapper(cfg),
        num_workers=cfg.DATALOADER.NUM_WORKERS,
    )


def test_dataset(cfg: CfgNode, dataset_name: str) -> SeededDataset:
    """The pictures of a test set as :func:`build_test_loader` gives them, by their place."""
    return SeededDataset(_test_records(dataset_name), _test_mapper(cfg), seed=0)


def _test_mapper(cfg: CfgNode) -> CheckedMapper:
    return CheckedMapper(DatasetMapper(cfg, is_train=False), _said_in_evaluation())


@functools.cache
def _said_in_evaluation() -> torch.Tensor:
    """One flag for all evaluations of a training."""
    return shared_flag()


def _test_records(dataset_name: str) -> Sequence[dict]:
    records = load_builtin_test_set(dataset_name)
    return usable_records(dataset_name, filter_empty=False) if records is None else records
