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

from lt_det.data.column_file import DamagedError
from lt_det.data.mask_columns import MASK_KINDS
from lt_det.data.record_columns import RecordColumns
from lt_det.data.value_columns import MISSING

__all__ = ["MappedRecords", "counting_records", "join_records", "select_records"]

_STAND_INS = {"polygons": [], "json": {}, "bytes": {}}


def counting_records(records: Sequence[Mapping]) -> Sequence[Mapping]:
    """The same records for who only counts, to be read and not changed.

    Of mapped records only ``width``, ``height`` and of every object ``category_id``, ``iscrowd``
    and the kind of its mask (an empty list or dict for polygons or RLE) are read. Other records
    are returned as they are.
    """
    return records.counting() if isinstance(records, _LazyRecords) else records


def select_records(records: Sequence[dict], rows: Sequence[int]) -> Sequence[dict]:
    """The records at some indices, mapped if they are."""
    if len(rows) == len(records) and np.array_equal(rows, np.arange(len(records))):
        return records
    if isinstance(records, MappedRecords):
        return records.select(np.asarray(rows))
    return [records[row] for row in rows]


def join_records(parts: Sequence[Sequence[dict]]) -> Sequence[dict]:
    """Several data sets' records as one sequence: a list, unless all are mapped."""
    if len(parts) == 1:
        return parts[0]
    if parts and all(isinstance(part, _LazyRecords) for part in parts):
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
    """Records of a file of :func:`lt_det.data.record_columns.write_records`.

    Pickled, it is the file's path: another process maps the same pages.

    Args:
        path: the file.
        rows: (M,) which of its records, in this order; None is all of them.
        list_maps: key -> (category id -> class), for lists of a record that are to be mapped so.

    Raises:
        FileNotFoundError: if there is no such file.
        DamagedError: if the file is not as it was written. Of the masks this shows on access; the
            file is removed then, so that the next start builds it anew.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        rows: np.ndarray | None = None,
        list_maps: Mapping[str, Mapping[int, int]] | None = None,
    ):
        self.columns = RecordColumns(path)
        self._rows = rows
        self._list_maps = dict(list_maps or {})

    def __reduce__(self) -> tuple:
        """To be opened again where it is unpickled."""
        return type(self), (self.columns.path, self._rows, self._list_maps)

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
        return type(self)(self.columns.path, rows, self._list_maps)

    def with_maps(self, list_maps: Mapping[str, Mapping[int, int]]) -> MappedRecords:
        """The same records, with the elements of some lists mapped."""
        return type(self)(self.columns.path, self._rows, list_maps)


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
    """Objects of one class and kind are one dict, so that a million of them cost a list."""

    def __init__(self, columns: RecordColumns, rows: np.ndarray | None):
        self._rows = range(columns.num) if rows is None else rows.tolist()
        self._sizes = list(zip(columns.values("width"), columns.values("height"), strict=True))
        self._first = columns.first_object.tolist()
        self._objects = _shared_objects(columns)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict:
        row = self._rows[index]
        width, height = self._sizes[row]
        objects = self._objects[self._first[row] : self._first[row + 1]]
        return {"width": width, "height": height, "annotations": objects}


def _shared_objects(columns: RecordColumns) -> list[dict]:
    number = len(columns.masks.kind)
    crowds = itertools.repeat(MISSING, number)
    if columns.crowds is not None:
        crowds = columns.crowds.part(0, number)
    shared: dict[tuple, dict] = {}
    objects = []
    keys = zip(columns.classes.part(0, number), crowds, columns.masks.kind.tolist(), strict=True)
    for key in keys:
        counted = shared.get(key)
        if counted is None:
            counted = shared[key] = _counted(*key)
        objects.append(counted)
    return objects


def _counted(class_id: int, crowd, kind: int) -> dict:
    counted = {"category_id": class_id}
    if crowd is not MISSING:
        counted["iscrowd"] = crowd
    stand_in = _STAND_INS.get(MASK_KINDS[kind])
    if stand_in is not None:
        counted["segmentation"] = stand_in
    return counted
