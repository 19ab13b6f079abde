"""A data set's records, read from its annotation file once and mapped into memory from then on.

A cached file lies in ``$LT_DET_CACHE/records`` (:mod:`lt_det.utils.cache_folder`) under a name made
of the SHA-256 of the annotation file's content, of how it is read and of where its pictures are. So
a changed file is read anew, one that is copied or touched is not. After a change of the code that
reads and writes (:mod:`lt_det.utils.code_digest`), all are.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import log_first_n

from lt_det.data.cache.column_file import DamagedError
from lt_det.data.cache.mapped_records import MappedRecords
from lt_det.data.cache.record_columns import write_records
from lt_det.data.cache.value_columns import NotRepresentableError
from lt_det.utils.cache_folder import cache_folder
from lt_det.utils.code_digest import code_digest
from lt_det.utils.file_digest import file_digest
from lt_det.utils.garbage import no_garbage_collection

__all__ = ["cached_records"]

logger = logging.getLogger(__name__)

Read = Callable[[], tuple[list[dict], Any]]


def cached_records(json_file: str, how: Sequence[str], read: Read) -> tuple[Sequence[dict], Any]:
    """Records of an annotation file, mapped from the cache or read and cached.

    A damaged cached file is written anew. Of several processes one reads the file and the others
    wait. Where nothing can be cached the records are read each time, and a message says why.

    Args:
        json_file: the annotation file.
        how: what else the records depend on, the code that reads them included.
        read: reads them; returns the records and whatever else JSON can hold.

    Returns:
        What ``read`` returns; the records are a list where they are not cached.
    """
    path, folder = PathManager.get_local_path(json_file), cache_folder("records")
    if folder is None or not os.path.isfile(path):
        return _read(read)
    digest = file_digest(path)
    key = hashlib.sha256(json.dumps([code_digest(__name__), digest, *how]).encode()).hexdigest()
    cached = folder / f"{key}.columns"
    with contextlib.ExitStack() as stack:
        if (found := _open(cached)) is not None:
            return found
        try:
            stack.enter_context(_alone(cached.with_suffix(".lock")))
        except OSError as error:
            _say_not_cached(json_file, error)
            return _read(read)
        if (found := _open(cached)) is not None:
            return found
        return _read_and_write(json_file, cached, read, lambda: file_digest(path) == digest)


@no_garbage_collection()
def _read(read: Read) -> tuple[list[dict], Any]:
    return read()


@no_garbage_collection()
def _read_and_write(
    json_file: str, cached: Path, read: Read, is_unchanged: Callable[[], bool]
) -> tuple[Sequence[dict], Any]:
    if cached.exists():
        logger.warning("Reading the annotation file again: the cached %s is damaged", cached)
    records, facts = read()
    if not records or not is_unchanged():
        return records, facts
    try:
        write_records(cached, records, facts)
        return MappedRecords.open(cached), facts
    except (OSError, NotRepresentableError, DamagedError) as error:
        _say_not_cached(json_file, error)
        return records, facts


def _open(cached: Path) -> tuple[MappedRecords, Any] | None:
    try:
        records = MappedRecords.open(cached)
    except (OSError, DamagedError):
        return None
    return records, records.columns.info


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Waits until no other process is within."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _say_not_cached(json_file: str, error: Exception) -> None:
    message = f"The records of {json_file} are not cached: {error}"
    # A file is loaded several times in a training.
    log_first_n(logging.WARNING, message, key="message", name=__name__)
