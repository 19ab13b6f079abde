"""Training pictures as a stream of batches that may start anywhere.

Detectron2's loader starts its stream anew after a resume, draws augmentations from what the worker
happens to have drawn before, and its aspect-ratio groups depend on the number of workers. Here the
batches of all ranks are planned as indices in the main process, and each picture has a seed of its
own. So batch number n is the same picture by picture, whatever came before it, however many workers
load it and however many processes share it.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from detectron2.data import DatasetFromList
from detectron2.data.build import trivial_batch_collator
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset, Sampler

from lt_det.data.cache.mapped_records import are_mapped, select_records
from lt_det.utils.seeding import derived_seed, seeded

__all__ = ["BatchPlan", "Place", "ResumableLoader", "SeededDataset"]


class Place(NamedTuple):
    """A picture's place in the stream of all ranks.

    Args:
        position: number in the stream; seeds the augmentation.
        index: of the picture in the data set.
        version: of the learned class rates it was drawn under (Meta Sampler).
    """

    position: int
    index: int
    version: int = 0


class SeededDataset(Dataset):
    """Mapped pictures, each with the random numbers of its place in the stream.

    Args:
        dataset_dicts: the training records. Mapped ones stay in their file, which workers share;
            others are packed as in Detectron2.
        mapper: record -> model input; None for a record that is of no use (then another one,
            drawn at random, takes its place, as in Detectron2).
        seed: of the training.

    Raises:
        RuntimeError: on access, if the mapper refuses record after record.
    """

    _TRIES = 10

    def __init__(self, dataset_dicts: Sequence[dict], mapper: Callable, seed: int):
        self.records = (
            dataset_dicts
            if are_mapped(dataset_dicts)
            else DatasetFromList(list(dataset_dicts), copy=False)
        )
        self.seed = seed
        self._mapper = mapper

    def reseeded(self, seed: int) -> SeededDataset:
        """The same records, not copied, with the random numbers of another stream."""
        other = copy.copy(self)
        other.seed = seed
        return other

    def subset(self, indices: Sequence[int]) -> SeededDataset:
        """Some of the records, numbered anew."""
        return type(self)(select_records(self.records, indices), self._mapper, self.seed)

    def __len__(self) -> int:
        """Number of records."""
        return len(self.records)

    def __getitem__(self, place: Place) -> dict:
        """The picture at a place of the stream; the model input says which under ``"place"``."""
        with seeded(self.seed, place.position):
            for attempt in range(self._TRIES):
                if attempt:
                    index = derived_seed(self.seed, place.position, attempt) % len(self)
                    place = place._replace(index=index)
                mapped = self._mapper(self.records[place.index])
                if mapped is not None:
                    return {**mapped, "place": place}
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
            buckets[kind].append(Place(position, index))
            if len(buckets[kind]) == self._batch_size:
                yield buckets[kind]
                buckets[kind] = []


class ResumableLoader:
    """Endless batches; ``start_batch`` says which one comes first.

    Args:
        dataset: pictures by place.
        plan: which places make a batch; an attribute ``most_ahead`` limits how many batches may be
            planned before their turn.
        num_workers: processes; 0 loads in this one.
        held_out: pictures of the training set that train nothing.

    Raises:
        ValueError: if the workers would fetch more batches ahead than the plan allows.
    """

    # Batches a worker fetches ahead, as torch's DataLoader does.
    _PREFETCH = 2

    def __init__(
        self,
        dataset: SeededDataset,
        plan: Sampler,
        num_workers: int = 0,
        held_out: SeededDataset | None = None,
    ):
        self.dataset = dataset
        self.plan = plan
        self.held_out = held_out
        self._num_workers = num_workers
        self._prefetch = self._PREFETCH if num_workers else None
        most = getattr(plan, "most_ahead", None)
        if num_workers and most is not None:
            if most < num_workers:
                raise ValueError(
                    f"DATALOADER.NUM_WORKERS {num_workers} fetch that many batches ahead, but "
                    f"{type(plan).__name__} allows {most} (SOLVER.META.SAMPLER.LAG): lower one or "
                    "raise the other"
                )
            self._prefetch = min(self._PREFETCH, most // num_workers)

    @property
    def start_batch(self) -> int:
        """Batches that are passed over; to be set before iteration starts."""
        return self.plan.start

    @start_batch.setter
    def start_batch(self, number: int) -> None:
        self.plan.start = number

    def __iter__(self) -> Iterator[list[dict]]:
        """Lists of model inputs."""
        yield from DataLoader(
            self.dataset,
            batch_sampler=self.plan,
            num_workers=self._num_workers,
            prefetch_factor=self._prefetch,
            collate_fn=trivial_batch_collator,
            # Only to leave the global one alone: pictures have seeds of their own.
            generator=torch.Generator(),
        )
