"""What a registered data set's records are read from: lt_det's formats, Detectron2's COCO and LVIS.

``DatasetCatalog.get`` returns a list of dicts, as Detectron2's functions and users expect, who may
change them. lt_det's own loaders ask for :func:`dataset_records` instead, which are mapped from the
cache.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import coco as detectron2_coco
from detectron2.data.datasets import lvis as detectron2_lvis

from lt_det.data.cache.column_file import DamagedError
from lt_det.data.datasets.judged_file import announce_notes
from lt_det.data.datasets.lvis_as_detectron2 import read_lvis_as_detectron2
from lt_det.data.datasets.standard_records import announce_facts, read_coco_records
from lt_det.data.cache.record_cache import cached_records
from lt_det.utils.code_digest import code_digest
from lt_det.utils.garbage import no_garbage_collection

__all__ = ["RecordSource", "dataset_records"]

# What reads records: the formats of DATASETS.REGISTER, and Detectron2's own.
_READERS = ("lt_det.data.datasets.register", __name__)


# The functions that Detectron2 registers, which have no names of their own.
_LVIS = detectron2_lvis.__name__, "register_lvis_instances.<locals>.<lambda>"
_COCO = detectron2_coco.__name__, "register_coco_instances.<locals>.<lambda>"


@dataclass(frozen=True)
class RecordSource:
    """A function for Detectron2's DatasetCatalog that reads one annotation file.

    Attributes:
        kind: how the file is read; with the other two it says what the records are.
        json_file: the annotation file.
        image_root: folder of its pictures.
        read: () -> the records and other facts that JSON can hold.
        announce: facts -> None; puts them where others look for them.
    """

    kind: str
    json_file: str
    image_root: str
    read: Callable[[], tuple[list[dict], Any]]
    announce: Callable[[Any], None]

    def __call__(self) -> list[dict]:
        """The records as a list of dicts, which may be changed."""
        with no_garbage_collection():
            try:
                return list(self.records())
            except DamagedError:  # it is removed now
                return list(self.records())

    def records(self) -> Sequence[dict]:
        """The records, mapped from the cache; a list where they cannot be cached."""
        how = (self.kind, self.image_root, code_digest(*_READERS))
        records, facts = cached_records(self.json_file, how, self.read)
        self.announce(facts)
        return records


def dataset_records(name: str) -> Sequence[dict] | None:
    """The records of a registered data set, mapped from the cache.

    Equal to ``DatasetCatalog.get(name)`` of a set without odd objects, and to be read only: a change
    of one is lost. Keys may be in another order.

    Returns:
        None if there is no such data set, or its function is none that lt_det knows.
    """
    function = dict(DatasetCatalog).get(name)
    if not isinstance(function, RecordSource):
        function = _of_detectron2(name, function)
    return None if function is None else function.records()


def _of_detectron2(name: str, function: Callable | None) -> RecordSource | None:
    """Give the source of a set that Detectron2's own functions registered."""
    # Not every callable has these names.
    found = tuple(getattr(function, key, None) for key in ("__module__", "__qualname__"))
    if found not in (_LVIS, _COCO):
        return None
    values = inspect.getclosurevars(function).nonlocals
    if not {"json_file", "image_root"} <= values.keys():
        return None
    json_file, image_root = values["json_file"], values["image_root"]
    if found == _COCO:
        return _coco_source(name, json_file, image_root)
    if not MetadataCatalog.get(name).get("loaded_by_detectron2", False):
        return None
    read = functools.partial(read_lvis_as_detectron2, json_file, image_root, name)

    def announce(facts: dict) -> None:
        # As Detectron2's loader does.
        MetadataCatalog.get(name).set(**detectron2_lvis.get_lvis_instances_meta(name))
        announce_notes(facts["notes"], json_file, name)

    return RecordSource("detectron2", json_file, image_root, read, announce)


def _coco_source(name: str, json_file: str, image_root: str) -> RecordSource | None:
    """Give the source of a set of ``register_coco_instances``, which has no keypoints."""
    if MetadataCatalog.get(name).get("keypoint_names") is not None:
        return None
    return RecordSource(
        "coco fault",
        json_file,
        image_root,
        functools.partial(read_coco_records, json_file, image_root),
        lambda facts: announce_facts(facts, json_file, name),
    )
