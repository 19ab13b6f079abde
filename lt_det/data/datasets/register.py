"""``DATASETS.REGISTER``: a user's own data sets, named in a config file."""

from __future__ import annotations

import os
from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from lt_det.data.datasets.coco import register_coco_format
from lt_det.data.datasets.lvis import register_lvis_format
from lt_det.data.judgement.judge import IGNORE

__all__ = ["FORMATS", "register_from_config"]

FORMATS = {"coco": register_coco_format, "lvis": register_lvis_format}
_EXPECTED = "[name, format, annotation file, image folder]"


def register_from_config(cfg: CfgNode) -> None:
    """Register the data sets of ``DATASETS.REGISTER``; nothing is read.

    Each entry is ``[name, "lvis" or "coco", annotation file, image folder]``. Relative paths are
    below ``$DETECTRON2_DATASETS`` (default ``datasets``), as those of Detectron2's own data sets.
    The same entry may come again. ``DATASETS.IGNORE`` is how objects with ``ignore`` 1 are read.

    Raises:
        ValueError: naming the entry, if it is malformed, of an unknown format, or if its name is
            taken by another data set.
    """
    ignore = cfg.DATASETS.IGNORE
    if ignore not in IGNORE:
        raise ValueError(f"DATASETS.IGNORE is {ignore!r}, expected one of {', '.join(IGNORE)}")
    for entry in cfg.DATASETS.REGISTER:
        _register(entry, ignore)


def _register(entry: Sequence[str], ignore: str) -> None:
    if isinstance(entry, str) or len(entry) != 4 or not all(isinstance(e, str) for e in entry):
        raise ValueError(f"Expected an entry of DATASETS.REGISTER to be {_EXPECTED}, got {entry!r}")
    name, data_format, *paths = entry
    if data_format not in FORMATS:
        raise ValueError(
            f"DATASETS.REGISTER: data set {name!r} has the unknown format {data_format!r}: "
            f"expected one of {sorted(FORMATS)}"
        )
    root = os.path.expanduser(os.environ.get("DETECTRON2_DATASETS", "datasets"))
    json_file, image_root = (os.path.join(root, os.path.expanduser(path)) for path in paths)
    if name not in DatasetCatalog:
        FORMATS[data_format](name, json_file, image_root, ignore=ignore)
        return
    metadata = MetadataCatalog.get(name)
    registered = metadata.get("evaluator_type"), metadata.get("json_file")
    if registered != (data_format, json_file) or metadata.get("image_root") != image_root:
        raise ValueError(
            f"DATASETS.REGISTER: the name {name!r} is taken by another data set, of "
            f"{metadata.get('json_file')}: choose another name"
        )
    if metadata.get("ignore") != ignore:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
        FORMATS[data_format](name, json_file, image_root, ignore=ignore)
