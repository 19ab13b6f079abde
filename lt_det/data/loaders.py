"""The training loader: batches of a sampler's stream, from any batch on.

Detectron2's loader starts its stream anew after a resume, draws augmentations from what the worker
happens to have drawn before, and its aspect-ratio groups depend on the number of workers. Here the
batches of all ranks are planned as indices in the main process, and each picture has a seed of its
own. So batch number n is the same picture by picture, whatever came before it, however many workers
load it and however many processes share it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetFromList, DatasetMapper, build_detection_test_loader
from detectron2.data.build import trivial_batch_collator
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset, Sampler

from lt_det.data.lvis_builtin import load_builtin_test_set
from lt_det.data.samplers import build_train_sampler
from lt_det.data.statistics import check_num_classes, training_dicts
from lt_det.seeding import derived_seed, seeded

__all__ = [
    "BatchPlan",
    "ResumableLoader",
    "SeededDataset",
    "build_test_loader",
    "build_train_loader",
]

# A picture's place in the stream of all ranks, and its index in the data set.
Place = tuple[int, int]


def build_train_loader(cfg: CfgNode, mapper: Callable | None = None) -> ResumableLoader:
    """The training loader over ``DATASETS.TRAIN`` with the configured sampler.

    Args:
        cfg: the config. A negative ``SEED`` draws one, which all ranks share.
        mapper: as in Detectron2; None is its DatasetMapper.

    Raises:
        ValueError: if ``NUM_CLASSES`` is not the data set's, or the batch cannot be divided among
            the processes.
    """
    dataset_dicts = training_dicts(cfg)
    check_num_classes(cfg.DATASETS.TRAIN, cfg.MODEL.ROI_HEADS.NUM_CLASSES)
    seed = cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed()
    world_size = comm.get_world_size()
    if cfg.SOLVER.IMS_PER_BATCH % world_size:
        raise ValueError(
            f"SOLVER.IMS_PER_BATCH is {cfg.SOLVER.IMS_PER_BATCH}, which {world_size} processes "
            "cannot share equally: make it a multiple"
        )
    is_wide = None
    if cfg.DATALOADER.ASPECT_RATIO_GROUPING:
        is_wide = [record["width"] > record["height"] for record in dataset_dicts]
    return ResumableLoader(
        SeededDataset(dataset_dicts, mapper or DatasetMapper(cfg, is_train=True), seed),
        BatchPlan(build_train_sampler(cfg, dataset_dicts, seed), cfg.SOLVER.IMS_PER_BATCH, is_wide),
        cfg.DATALOADER.NUM_WORKERS,
    )


def build_test_loader(cfg: CfgNode, dataset_name: str) -> DataLoader:
    """Detectron2's test loader, also for LVIS test sets whose files have no annotations."""
    records = None if cfg.MODEL.LOAD_PROPOSALS else load_builtin_test_set(dataset_name)
    if records is None:
        return build_detection_test_loader(cfg, dataset_name)
    return build_detection_test_loader(
        dataset=records,
        mapper=DatasetMapper(cfg, is_train=False),
        num_workers=cfg.DATALOADER.NUM_WORKERS,
    )


class SeededDataset(Dataset):
    """Mapped pictures, each with the random numbers of its place in the stream.

    Args:
        dataset_dicts: the training records.
        mapper: record -> model input; None for a record that is of no use (then another one,
            drawn at random, takes its place, as in Detectron2).
        seed: of the training.

    Raises:
        RuntimeError: on access, if the mapper refuses record after record.
    """

    _TRIES = 10

    def __init__(self, dataset_dicts: Sequence[dict], mapper: Callable, seed: int):
        self._records = DatasetFromList(list(dataset_dicts), copy=False)
        self._mapper = mapper
        self._seed = seed

    def __len__(self) -> int:
        """Number of records."""
        return len(self._records)

    def __getitem__(self, place: Place) -> dict:
        """The picture at a place of the stream."""
        position, index = place
        with seeded(self._seed, position):
            for attempt in range(self._TRIES):
                if attempt:
                    index = derived_seed(self._seed, position, attempt) % len(self)
                mapped = self._mapper(self._records[index])
                if mapped is not None:
                    return mapped
        raise RuntimeError(f"The mapper returned None for {self._TRIES} records in a row")


class BatchPlan(Sampler):
    """A sampler's stream in batches of :data:`Place`, from batch ``start`` on.

    Every rank plans the batches of all ranks and yields its share of each, so that several
    processes see the batches of one. (Detectron2 groups by aspect ratio within a rank.)

    Args:
        sampler: one of Detectron2's or ours; its ``_infinite_indices`` is the stream of all ranks.
        batch_size: pictures of all ranks in a step.
        is_wide: whether each picture is wider than high, to have batches of one kind only; None
            takes the stream as it comes.
    """

    def __init__(self, sampler: Sampler, batch_size: int, is_wide: Sequence[bool] | None = None):
        self._sampler = sampler
        self._batch_size = batch_size
        self._is_wide = is_wide
        # Kept here, as Detectron2's samplers do: a loader's worker process may not know its rank.
        self._rank = comm.get_rank()
        self._world_size = comm.get_world_size()
        self.start = 0

    def __iter__(self) -> Iterator[list[Place]]:
        """This rank's shares, replayed up to ``start`` without loading anything."""
        for batch in itertools.islice(self._batches(), self.start, None):
            yield batch[self._rank :: self._world_size]

    def _batches(self) -> Iterator[list[Place]]:
        buckets: dict[bool, list[Place]] = {False: [], True: []}
        # Detectron2 has no public name for the stream before it is divided among ranks.
        for position, index in enumerate(self._sampler._infinite_indices()):
            kind = False if self._is_wide is None else self._is_wide[index]
            buckets[kind].append((position, index))
            if len(buckets[kind]) == self._batch_size:
                yield buckets[kind]
                buckets[kind] = []


class ResumableLoader:
    """Endless batches; ``start_batch`` says which one comes first.

    Args:
        dataset: pictures by place.
        plan: which places make a batch.
        num_workers: processes; 0 loads in this one.
    """

    def __init__(self, dataset: SeededDataset, plan: BatchPlan, num_workers: int = 0):
        self.dataset = dataset
        self._plan = plan
        self._num_workers = num_workers

    @property
    def start_batch(self) -> int:
        """Batches that are passed over; to be set before iteration starts."""
        return self._plan.start

    @start_batch.setter
    def start_batch(self, number: int) -> None:
        self._plan.start = number

    def __iter__(self) -> Iterator[list[dict]]:
        """Lists of model inputs."""
        yield from DataLoader(
            self.dataset,
            batch_sampler=self._plan,
            num_workers=self._num_workers,
            collate_fn=trivial_batch_collator,
            # Only to leave the global one alone: pictures have seeds of their own.
            generator=torch.Generator(),
        )
