"""Records that lie in a memory-mapped file, as sequences that make each one when it is asked for.

Detectron2's functions want lists, whose records they may change. These sequences are for lt_det's
own loaders, which only read.
"""

from __future__ import annotations

import itertools
import os
from bisect import bisect_right
from collections.abc import Mapping, Sequence

import numpy as np

from lt_det.data.cache.column_file import DamagedError
from lt_det.data.cache.record_columns import RecordColumns

__all__ = ["MappedRecords", "are_mapped", "counting_records", "join_records", "select_records"]


def are_mapped(records: Sequence[Mapping]) -> bool:
    """Whether records, of one data set or several, lie in files and not in this process."""
    return isinstance(records, _LazyRecords)


def counting_records(records: Sequence[Mapping]) -> Sequence[Mapping]:
    """The same records for who only counts, to be read and not changed.

    Of mapped records they have ``width``, ``height`` and ``annotations``, which lack boxes and
    have empty masks (a list for polygons, a dict for RLE). Other records come as they are.
    """
    return records.counting() if are_mapped(records) else records


def select_records(records: Sequence[dict], rows: Sequence[int]) -> Sequence[dict]:
    """The records at some indices, mapped if they are."""
    if len(rows) == len(records) and np.array_equal(rows, np.arange(len(records))):
        return records
    if isinstance(records, MappedRecords):
        return records.select(np.asarray(rows, dtype=np.int32))
    return [records[row] for row in rows]


def join_records(parts: Sequence[Sequence[dict]]) -> Sequence[dict]:
    """Several data sets' records as one sequence: a list, unless all are mapped."""
    if len(parts) == 1:
        return parts[0]
    if parts and all(map(are_mapped, parts)):
        return _JoinedRecords(parts)
    return list(itertools.chain.from_iterable(parts))


class _LazyRecords(Sequence):
    """A sequence whose slices are lists."""

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self._at(i) for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"There is no record {index}, there are {len(self)}")
        return self._at(int(index) % len(self))

    def _at(self, index: int) -> dict:
        raise NotImplementedError

    def counting(self) -> Sequence[Mapping]:
        """See :func:`counting_records`."""
        raise NotImplementedError


class MappedRecords(_LazyRecords):
    """Records of a file of :func:`lt_det.data.cache.record_columns.write_records`.

    Pickled, it is the file's path: another process maps the same pages.

    Args:
        columns: of the file.
        rows: (M,) which of its records, in this order; None is all of them.
        list_maps: key -> (category id -> class), for lists of a record that are to be mapped so.

    Raises:
        DamagedError: on access, if masks are not as they were written. The file is removed then,
            so that the next start writes it anew.
    """

    def __init__(
        self,
        columns: RecordColumns,
        rows: np.ndarray | None = None,
        list_maps: Mapping[str, Mapping[int, int]] | None = None,
    ):
        self.columns = columns
        self._rows = rows
        self._list_maps = dict(list_maps or {})

    @classmethod
    def open(cls, path: str | os.PathLike, *args) -> MappedRecords:
        """From the file's path.

        Raises:
            FileNotFoundError: if there is no such file.
            DamagedError: if it is not as it was written.
        """
        return cls(RecordColumns(path), *args)

    def __reduce__(self) -> tuple:
        """To be opened again where it is unpickled."""
        return type(self).open, (self.columns.path, self._rows, self._list_maps)

    def __len__(self) -> int:
        """M."""
        return self.columns.num if self._rows is None else len(self._rows)

    def _at(self, index: int) -> dict:
        try:
            record = self.columns.record(index if self._rows is None else int(self._rows[index]))
        except DamagedError as error:
            path = self.columns.path
            path.unlink(missing_ok=True)
            raise DamagedError(f"{path}: {error}. It is removed: start again") from error
        for key, class_of in self._list_maps.items():
            record[key] = [class_of[category_id] for category_id in record[key]]
        return record

    def counting(self) -> Sequence[Mapping]:
        """See :func:`counting_records`."""
        return _CountingRecords(self.columns, self._rows)

    def select(self, rows: np.ndarray) -> MappedRecords:
        """Those at the indices ``rows``."""
        rows = rows if self._rows is None else self._rows[rows]
        return type(self)(self.columns, rows, self._list_maps)

    def with_maps(self, list_maps: Mapping[str, Mapping[int, int]]) -> MappedRecords:
        """The same records, with the elements of some lists mapped."""
        return type(self)(self.columns, self._rows, list_maps)


class _JoinedRecords(_LazyRecords):
    def __init__(self, parts: Sequence[_LazyRecords]):
        self._parts = list(parts)
        self._ends = list(itertools.accumulate(map(len, parts)))

    def __len__(self) -> int:
        return self._ends[-1]

    def _at(self, index: int) -> dict:
        part = bisect_right(self._ends, index)
        return self._parts[part][index - (self._ends[part - 1] if part else 0)]

    def counting(self) -> Sequence[Mapping]:
        return list(itertools.chain.from_iterable(part.counting() for part in self._parts))


class _CountingRecords(Sequence):
    def __init__(self, columns: RecordColumns, rows: np.ndarray | None):
        self._rows = range(columns.num) if rows is None else rows.tolist()
        keys = [key for key in ("width", "height", "file_name") if key in columns.keys]
        # A record without a size needs its file to be looked at.
        keys = keys[:2] if keys[:2] == ["width", "height"] else keys
        parts = zip(*(columns.values(key) for key in keys), strict=True)
        heads = [dict(zip(keys, values, strict=True)) for values in parts]
        self._heads = heads or [{}] * columns.num
        self._first = columns.first_object.tolist()
        self._objects = columns.counted_objects

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict:
        row = self._rows[index]
        objects = self._objects[self._first[row] : self._first[row + 1]]
        return {**self._heads[row], "annotations": objects}
