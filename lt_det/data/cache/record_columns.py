"""A data set's records as columns in a file, read one at a time.

LVIS v1's training set is 6 GiB of Python objects, which every process and every worker of a loader
has to itself. As columns it is half a gigabyte that all of them map. A record is made anew each
time it is asked for, equal to what was written, types and order of keys included.
"""

from __future__ import annotations

import functools
import itertools
import operator
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.structures import BoxMode

from lt_det.data.cache.column_file import ColumnFile, write_columns
from lt_det.data.cache.mask_columns import STAND_INS, UNCHECKED, Masks, masks_to_arrays
from lt_det.data.cache.value_columns import (
    MISSING,
    NotRepresentableError,
    Numbers,
    Values,
    numbers_to_arrays,
    values_to_arrays,
)

__all__ = ["RecordColumns", "write_records"]

# Of an object, in this order; others are not written by a loader that uses this.
_OBJECT_KEYS = ("bbox", "bbox_mode", "category_id", "iscrowd", "segmentation")
_BOX_MODE = BoxMode.XYWH_ABS
# Records; each may map as many as 64 KiB.
_RELEASE_EVERY = 1024


def write_records(path: str | os.PathLike, records: Sequence[Mapping], info: Any = None) -> None:
    """Write records of Detectron2's standard format for :class:`RecordColumns`.

    Args:
        path: the file.
        records: all with the same keys.
        info: what JSON can hold.

    Raises:
        OSError: if the file cannot be written.
        NotRepresentableError: if a record would come back as another one.
    """
    keys = list(records[0]) if records else []
    if any(list(record) != keys for record in records):
        raise NotRepresentableError("records differ in their keys")
    columns = {}
    for key in keys:
        if key != "annotations":
            columns |= _named(f"record.{key}", values_to_arrays([r[key] for r in records]))
    if "annotations" in keys:
        columns |= _object_columns([record["annotations"] for record in records])
    unchecked = [f"segmentation.{name}" for name in UNCHECKED]
    write_columns(path, columns, {"keys": keys, "num": len(records), "info": info}, unchecked)


class RecordColumns:
    """The columns of a file that :func:`write_records` wrote.

    Attributes:
        path: the file.
        info: what was written beside the records.
        num: N, number of records.
        keys: of each record.
        first_object: (N + 1,) the first object of each record, and their number A.
        classes: of A objects.
        crowds: ``iscrowd`` of A objects; None where no object has it.
        masks: of A objects.

    Raises:
        FileNotFoundError: if there is no such file.
        DamagedError: if it is not as it was written.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self._file = ColumnFile(path)
        columns, written = self._file.columns, self._file.info
        self._num_read = 0
        self.info = written["info"]
        self.num = written["num"]
        self.keys = written["keys"]
        self._values = {
            key: Values(_part(columns, f"record.{key}"))
            for key in self.keys
            if key != "annotations"
        }
        if "annotations" in self.keys:
            self.first_object = columns["first_object"]
            self.classes = Values(_part(columns, "category_id"))
            crowds = _part(columns, "iscrowd")
            self.crowds = Values(crowds) if crowds else None
            self.masks = Masks(_part(columns, "segmentation"))
            self._boxes = Numbers(_part(columns, "bbox"))

    def record(self, row: int) -> dict:
        """One record, made anew.

        Raises:
            DamagedError: if its part of the file is not as it was written.
        """
        self._num_read += 1
        if self._num_read % _RELEASE_EVERY == 0:
            self._file.release()
        return {
            key: self._objects(row) if key == "annotations" else self._values[key][row]
            for key in self.keys
        }

    def values(self, key: str) -> list:
        """What all records have under a key other than ``annotations``."""
        return self._values[key].part(0, self.num)

    @functools.cached_property
    def counted_objects(self) -> list[dict]:
        """All objects without their boxes, an empty list or dict in the place of their masks.

        Those of one class and kind are one dict, so that a million of them cost no more than a
        list. To be read only.
        """
        number = len(self.masks.kind)
        crowds = itertools.repeat(MISSING) if self.crowds is None else self.crowds.part(0, number)
        keys = zip(self.classes.part(0, number), crowds, self.masks.kind.tolist(), strict=False)
        shared: dict[tuple, dict] = {}
        objects = []
        for key in keys:
            if key not in shared:
                shared[key] = _counted_object(*key)
            objects.append(shared[key])
        return objects

    def _objects(self, row: int) -> list[dict]:
        start, end = self.first_object[row : row + 2].tolist()
        boxes = self._boxes.part(4 * start, 4 * end)
        classes = self.classes.part(start, end)
        masks = self.masks.of_picture(row, start, end)
        crowds = self.crowds and self.crowds.part(start, end)
        objects = []
        for i, (class_id, mask) in enumerate(zip(classes, masks, strict=True)):
            annotation = {
                "bbox": boxes[4 * i : 4 * i + 4],
                "bbox_mode": _BOX_MODE,
                "category_id": class_id,
            }
            if crowds and crowds[i] is not MISSING:
                annotation["iscrowd"] = crowds[i]
            if mask is not MISSING:
                annotation["segmentation"] = mask
            objects.append(annotation)
        return objects


def _counted_object(class_id: int, crowd: Any, kind: int) -> dict:
    optional = {"iscrowd": crowd, "segmentation": STAND_INS[kind]}
    return {
        "category_id": class_id,
        **{key: value for key, value in optional.items() if value is not MISSING},
    }


def _object_columns(objects: Sequence[Sequence[Mapping]]) -> dict[str, np.ndarray]:
    first_object = np.cumsum([0, *map(len, objects)], dtype=np.int64)
    flat = list(itertools.chain.from_iterable(objects))
    _check_keys(flat)
    boxes = [annotation["bbox"] for annotation in flat]
    if any(type(box) is not list or len(box) != 4 for box in boxes):
        raise NotRepresentableError("a box is no list of four numbers")
    masks = [annotation.get("segmentation", MISSING) for annotation in flat]
    columns = {
        "first_object": first_object,
        **_named("bbox", numbers_to_arrays(itertools.chain.from_iterable(boxes))),
        **_named("category_id", values_to_arrays([a["category_id"] for a in flat])),
        **_named("segmentation", masks_to_arrays(masks, first_object)),
    }
    crowds = [annotation.get("iscrowd", MISSING) for annotation in flat]
    if any(isinstance(crowd, list | dict) for crowd in crowds):
        raise NotRepresentableError("iscrowd is no plain value")
    if any(crowd is not MISSING for crowd in crowds):
        columns |= _named("iscrowd", values_to_arrays(crowds))
    return columns


def _check_keys(annotations: Sequence[Mapping]) -> None:
    for keys in set(map(tuple, annotations)):
        known = tuple(key for key in _OBJECT_KEYS if key in keys)
        if keys != known or not {"bbox", "bbox_mode", "category_id"} <= set(keys):
            raise NotRepresentableError(f"objects have the keys {keys}, not of {_OBJECT_KEYS}")
    # By identity: a plain 1 is equal to the mode.
    if set(map(id, map(operator.itemgetter("bbox_mode"), annotations))) - {id(_BOX_MODE)}:
        raise NotRepresentableError(f"not all boxes are of the mode {_BOX_MODE}")


def _named(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{prefix}.{name}": array for name, array in arrays.items()}


def _part(columns: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    start = f"{prefix}."
    return {n[len(start) :]: array for n, array in columns.items() if n.startswith(start)}
