"""Named arrays in one file that is mapped into memory: processes that read it share its pages.

After a line that says what it is, the file holds the length of its header, the header as JSON
(where each array lies, and whatever the writer adds), a checksum of it, and the arrays.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import struct
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["ColumnFile", "DamagedError", "write_columns"]

_MAGIC = b"lt_det columns 1\n"
_LENGTH = struct.Struct("<Q")
_CHECKSUM = struct.Struct("<I")
_ALIGNMENT = 64


class DamagedError(ValueError):
    """A file that is not as it was written."""


def write_columns(
    path: str | os.PathLike,
    columns: Mapping[str, np.ndarray],
    info: Any = None,
    unchecked: Collection[str] = (),
) -> None:
    """Write arrays, the whole file or nothing of it.

    Until it is whole it is ``<path>.partial``, which a killed process leaves and the next one
    overwrites; two must not write the same file at a time.

    Args:
        path: the file. What lies there is replaced; who has it open keeps the old one.
        columns: name -> one-dimensional array.
        info: what JSON can hold.
        unchecked: names of large arrays that :class:`ColumnFile` need not read through.

    Raises:
        OSError: if the file cannot be written; nothing is left then.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.ascontiguousarray(array) for name, array in columns.items()}
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(_head(arrays, info, unchecked))
            for array in arrays.values():
                file.write(bytes(-file.tell() % _ALIGNMENT))
                file.write(array.data)
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


class ColumnFile:
    """A file of :func:`write_columns`, mapped into memory.

    Attributes:
        columns: name -> array, read-only.
        info: what was written beside them.

    Raises:
        FileNotFoundError: if there is no such file.
        DamagedError: if it is not as it was written, but for what lies within the arrays that were
            written as ``unchecked``.
    """

    def __init__(self, path: str | os.PathLike):
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            header, start = _read_head(file, path)
            if size != start + header["bytes"]:
                raise DamagedError(f"{path} has {size} bytes, not {start + header['bytes']}")
            self._mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.info = header["info"]
        self.columns = {}
        for name, (dtype, length, offset, checksum) in header["arrays"].items():
            array = np.ndarray((length,), dtype, buffer=self._mapped, offset=start + offset)
            if checksum is not None and zlib.crc32(array) != checksum:
                raise DamagedError(f"{path}: the array {name!r} is not as it was written")
            self.columns[name] = array

    def release(self) -> None:
        """Leave the pages that were read to the system, which keeps them as long as it has room.

        Otherwise all that was ever read counts as this process's memory.
        """
        self._mapped.madvise(mmap.MADV_DONTNEED)


def _head(arrays: Mapping[str, np.ndarray], info: Any, unchecked: Collection[str]) -> bytes:
    """What stands before the arrays, to a multiple of the alignment."""
    places, end = {}, 0
    for name, array in arrays.items():
        start = end + -end % _ALIGNMENT
        checksum = None if name in unchecked else zlib.crc32(array)
        places[name] = array.dtype.str, len(array), start, checksum
        end = start + array.nbytes
    header = json.dumps({"arrays": places, "bytes": end, "info": info}).encode()
    unpadded = len(_MAGIC) + _LENGTH.size + len(header) + _CHECKSUM.size
    header += b" " * (-unpadded % _ALIGNMENT)
    return _MAGIC + _LENGTH.pack(len(header)) + header + _CHECKSUM.pack(zlib.crc32(header))


def _read_head(file, path) -> tuple[dict, int]:
    """The header, and where the arrays begin."""
    start = file.read(len(_MAGIC) + _LENGTH.size)
    if start[: len(_MAGIC)] != _MAGIC or len(start) < len(_MAGIC) + _LENGTH.size:
        raise DamagedError(f"{path} is no file of columns")
    (length,) = _LENGTH.unpack(start[len(_MAGIC) :])
    if length > os.fstat(file.fileno()).st_size:
        raise DamagedError(f"{path} ends within its header")
    rest = file.read(length + _CHECKSUM.size)
    header = rest[:length]
    if rest[length:] != _CHECKSUM.pack(zlib.crc32(header)):
        raise DamagedError(f"{path}: the header is not as it was written")
    return json.loads(header), len(start) + len(rest)
