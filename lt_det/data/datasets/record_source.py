"""What a registered data set's records are read from: lt_det's formats and Detectron2's LVIS sets.

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
from detectron2.data.datasets import lvis as detectron2_lvis

from lt_det.data.cache.column_file import DamagedError
from lt_det.data.datasets.judged_file import announce_notes
from lt_det.data.datasets.lvis_as_detectron2 import read_lvis_as_detectron2
from lt_det.data.cache.record_cache import cached_records
from lt_det.utils.code_digest import code_digest
from lt_det.utils.garbage import no_garbage_collection

__all__ = ["RecordSource", "dataset_records"]

# What reads records: the formats of DATASETS.REGISTER, and Detectron2's own.
_READERS = ("lt_det.data.datasets.register", __name__)


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

    Equal to ``DatasetCatalog.get(name)``, and to be read only: a change of one is lost.

    Returns:
        None if there is no such data set, or its function is none that lt_det knows.
    """
    function = dict(DatasetCatalog).get(name)
    if not isinstance(function, RecordSource):
        function = _of_detectron2(name, function)
    return None if function is None else function.records()


def _of_detectron2(name: str, function: Callable | None) -> RecordSource | None:
    """The source of an LVIS set that Detectron2 registered."""
    own = detectron2_lvis.__name__, "register_lvis_instances.<locals>.<lambda>"
    # Not every callable has these names.
    found = tuple(getattr(function, key, None) for key in ("__module__", "__qualname__"))
    if found != own or not MetadataCatalog.get(name).get("loaded_by_detectron2", False):
        return None
    values = inspect.getclosurevars(function).nonlocals
    if not {"json_file", "image_root"} <= values.keys():
        return None
    read = functools.partial(
        read_lvis_as_detectron2, values["json_file"], values["image_root"], name
    )
    json_file = values["json_file"]

    def announce(facts: dict) -> None:
        # As Detectron2's loader does.
        MetadataCatalog.get(name).set(**detectron2_lvis.get_lvis_instances_meta(name))
        announce_notes(facts["notes"], json_file, name)

    return RecordSource("detectron2", json_file, values["image_root"], read, announce)
