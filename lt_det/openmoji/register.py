"""Register the generated data sets; nothing of them is read."""

from __future__ import annotations

import os
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog

from lt_det.data.datasets.lvis import register_lvis_format
from lt_det.openmoji.live import PREFIX
from lt_det.openmoji.spec import PRESETS, SPLITS, default_folder, set_name

__all__ = ["register_all_openmoji", "register_openmoji"]


def register_openmoji(root: str | Path, prefix: str, live: bool = False) -> None:
    """Register the four splits below ``root`` as ``<prefix>_<split>``; nothing is read.

    Args:
        root: folder of the data set.
        prefix: of the names.
        live: the pictures are not in the folder, but composed when they are read; see
            :mod:`lt_det.openmoji.live`.

    Raises:
        ValueError: if the names are registered already, with another root.
    """
    root = os.fspath(root)
    image_root = f"{PREFIX}{root}" if live else root
    for split in SPLITS:
        name = f"{prefix}_{split}"
        if name not in DatasetCatalog:
            register_lvis_format(name, os.path.join(root, f"{split}.json"), image_root)
        elif (other := MetadataCatalog.get(name).image_root) != image_root:
            raise ValueError(
                f"Data set {name!r} is registered already, with root {other!r} instead of "
                f"{image_root!r}: choose another prefix"
            )


def register_all_openmoji(datasets_root: str | None = None) -> None:
    """Register every preset, written and live, under a folder (by default Detectron2's).

    ``openmoji_<preset>_<split>`` are written sets, ``openmoji_live_<preset>_<split>`` those whose
    pictures are composed when they are read. The first call decides, as with Detectron2's own data
    sets, which read ``$DETECTRON2_DATASETS`` once.
    """
    for preset in PRESETS:
        for live in (False, True):
            prefix = set_name(preset, live)
            if f"{prefix}_{SPLITS[0]}" not in DatasetCatalog:
                register_openmoji(default_folder(preset, live, datasets_root), prefix, live)
