"""Digests of files' contents, remembered for as long as a file is left alone.

Reading a file of a gigabyte for its digest takes most of a second. So a digest is kept with the
file's path, size, inode and times of modification and of change. Whatever writes to a file, renames
another one to its place or sets its times back moves the last of these. A file that was changed
within the last seconds is always read: its clock may be too coarse to tell a second change.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path

from lt_det.utils.cache_folder import cache_folder

__all__ = ["file_digest", "file_state", "is_settled"]

_BLOCK = 1 << 22
# The coarsest clock of a file system that is still in use, FAT's, ticks every two seconds.
_SETTLED_S = 3.0


def file_digest(path: str | os.PathLike) -> str:
    """The SHA-256 of a file's content, in hexadecimal.

    Raises:
        FileNotFoundError: if there is no such file.
    """
    path = os.path.abspath(path)
    state = file_state(path)
    memory = _memory_file(path)
    if memory is not None and (digest := _remembered(memory, state)):
        return digest
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    if memory is not None and is_settled(state) and file_state(path) == state:
        _remember(memory, state, digest.hexdigest())
    return digest.hexdigest()


def file_state(path: str) -> list:
    """Describe a file by what any change of it changes: see this module's docstring.

    Raises:
        FileNotFoundError: if there is no such file.
    """
    stat = os.stat(path)
    return [path, stat.st_size, stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns]


def is_settled(state: list) -> bool:
    """Tell whether a file was left alone for long enough to trust the clock of its state."""
    return time.time() - max(state[-2:]) / 1e9 > _SETTLED_S


def _memory_file(path: str) -> Path | None:
    folder = cache_folder("digests")
    return folder and folder / f"{hashlib.sha256(os.fsencode(path)).hexdigest()}.json"


def _remembered(memory: Path, state: list) -> str | None:
    # A missing or damaged file is as good as none.
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        content = json.loads(memory.read_text())
        if content["state"] == state and len(content["sha256"]) == 64:
            return content["sha256"]
    return None


def _remember(memory: Path, state: list, digest: str) -> None:
    # Whoever cannot write here reads the file again.
    with contextlib.suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        partial = memory.with_name(f"{memory.name}.{os.getpid()}.partial")
        partial.write_text(json.dumps({"state": state, "sha256": digest}))
        partial.replace(memory)
