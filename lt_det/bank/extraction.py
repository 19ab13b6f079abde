"""Run a frozen detector over pictures and keep arrays of each, shard by shard.

What a shard holds depends on its pictures alone, and its batches never reach into another one: a
bank comes out byte by byte the same however often the work was stopped and however many processes
shared it.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data.build import trivial_batch_collator
from detectron2.utils import comm
from detectron2.utils.events import EventStorage
from torch import nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from lt_det.bank.folder import BankFolder
from lt_det.data.stream import Place
from lt_det.engine.freeze import frozen

__all__ = ["Extraction", "extract", "stored"]

logger = logging.getLogger(__name__)

Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Extraction:
    """What is to be extracted.

    Args:
        path: the bank's folder.
        identity: what it depends on, see :class:`BankFolder`.
        dataset: :class:`Place` -> mapped picture.
        picture_of: for each visit the index of its picture.
        forward: batch of mapped pictures -> the columns of each.
        title: of the progress bar.
        batch_size: visits in a forward pass.
        after_shard: called after every shard but the last; what it raises stops the work there, and
            the next call goes on. One process cannot tell the others.
    """

    path: Path
    identity: Mapping
    dataset: Dataset
    picture_of: Sequence[int]
    forward: Callable[[list[dict]], Iterable[Columns]]
    title: str
    batch_size: int
    after_shard: Callable[[], None] = lambda: None


def extract(cfg: CfgNode, model: nn.Module, job: Extraction) -> BankFolder:
    """Extract what is missing of a bank, and check all of it. All ranks call it.

    Args:
        cfg: ``FEATURE_BANK`` says how many pictures a shard has.
        model: nothing in it changes, its mode included.
        job: what to extract.

    Raises:
        StaleBankError: see :class:`BankFolder`.
        ValueError: if a shard is damaged, values exceed the stored type, or the disk is too small.
    """
    size = cfg.FEATURE_BANK.SHARD_PICTURES
    num_shards = -(-len(job.picture_of) // size)
    if comm.is_main_process():
        folder = BankFolder(job.path, job.identity, num_shards)
        folder.begin()
        folder.remove_leftovers()
    # Others look at a folder that has its manifest, never at one that is being begun.
    comm.synchronize()
    folder = BankFolder(job.path, job.identity, num_shards)
    missing = folder.missing()
    comm.synchronize()
    mine = missing[comm.get_rank() :: comm.get_world_size()]
    if mine:
        with frozen(model), torch.no_grad(), EventStorage():
            _write_shards(cfg, folder, job, mine, missing)
    comm.synchronize()
    if comm.is_main_process():
        folder.verify()
    return folder


def stored(tensor: torch.Tensor, dtype: str) -> np.ndarray:
    """A tensor as it is kept; what is too large becomes infinite, which :func:`extract` refuses."""
    with np.errstate(over="ignore"):
        return tensor.float().cpu().numpy().astype(dtype)


def _write_shards(
    cfg: CfgNode, folder: BankFolder, job: Extraction, shards: Sequence[int], missing: Sequence[int]
) -> None:
    size = cfg.FEATURE_BANK.SHARD_PICTURES
    batches = [list(_batches(job, number, size)) for number in shards]
    _announce(folder, job, batches[0][0], sum(len(_visits(job, n, size)) for n in missing))
    loader = DataLoader(
        job.dataset,
        batch_sampler=[batch for of_shard in batches for batch in of_shard],
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        collate_fn=trivial_batch_collator,
        generator=torch.Generator(),
    )
    total = len(job.picture_of)
    done = total - sum(len(batch) for of_shard in batches for batch in of_shard)
    pictures = iter(loader)
    with tqdm(
        total=total, initial=done, desc=job.title, unit="img", disable=not comm.is_main_process()
    ) as progress:
        for number, of_shard in zip(shards, batches, strict=True):
            columns = []
            for batch in of_shard:
                columns += map(_checked, job.forward(next(pictures)))
                progress.update(len(batch))
            folder.write(
                number, {name: np.concatenate([c[name] for c in columns]) for name in columns[0]}
            )
            if number != shards[-1]:
                job.after_shard()


def _visits(job: Extraction, shard: int, size: int) -> range:
    return range(shard * size, min((shard + 1) * size, len(job.picture_of)))


def _batches(job: Extraction, shard: int, size: int) -> Iterator[list[Place]]:
    visits = _visits(job, shard, size)
    for start in range(0, len(visits), job.batch_size):
        batch = visits[start : start + job.batch_size]
        yield [Place(visit, job.picture_of[visit]) for visit in batch]


def _announce(folder: BankFolder, job: Extraction, batch: list[Place], num_pictures: int) -> None:
    """Say how large and how long it will be, from one batch; stop where the disk is too small."""
    start = time.perf_counter()
    columns = list(job.forward([job.dataset[place] for place in batch]))
    seconds = (time.perf_counter() - start) / len(batch)
    num_bytes = sum(array.nbytes for c in columns for array in c.values()) / len(batch)
    free = shutil.disk_usage(folder.path).free
    logger.info(
        "%s: %d pictures, about %.2f GB (%.1f kB a picture) and %.1f minutes of one process",
        folder.path,
        num_pictures,
        num_bytes * num_pictures / 1e9,
        num_bytes / 1e3,
        seconds * num_pictures / 60,
    )
    if num_bytes * num_pictures > free:
        raise ValueError(
            f"{folder.path} will need about {num_bytes * num_pictures / 1e9:.1f} GB and has "
            f"{free / 1e9:.1f} GB: lower FEATURE_BANK.NUM_BACKGROUND or NUM_VIEWS, or name a "
            "folder on another disk"
        )


def _checked(columns: Columns) -> Columns:
    for name, array in columns.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(
                f"{name!r} has values that are not finite in {array.dtype}: set "
                "FEATURE_BANK.DTYPE 'float32', or check that the checkpoint has not diverged"
            )
    return columns
