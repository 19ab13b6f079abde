"""Mistakes in ``DATASETS.TRAIN`` and ``DATASETS.TEST``, found before the work instead of after."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from lt_det.data.datasets.judged_file import judged_file
from lt_det.data.datasets.known_names import near_matches
from lt_det.data.datasets.standard_records import contiguous_classes

__all__ = ["check_datasets", "check_same_classes", "class_difference"]

_ADVICE = "Check the path, or set DETECTRON2_DATASETS to the folder that holds the data sets"


def check_datasets(names: Sequence[str]) -> None:
    """See that data sets are registered and their files are there; nothing is read.

    Raises:
        ValueError: if a name is unknown.
        FileNotFoundError: if an annotation file or a folder of pictures is missing.
    """
    for name in names:
        if name not in DatasetCatalog:
            raise ValueError(
                f"Unknown data set {name!r} (in DATASETS.TRAIN, DATASETS.TEST or the command). "
                f"{near_matches(name)}"
            )
        metadata = MetadataCatalog.get(name)
        json_file, image_root = metadata.get("json_file"), metadata.get("image_root")
        if _is_local(json_file) and not os.path.isfile(json_file):
            raise FileNotFoundError(
                f"Data set {name!r}: annotation file not found: {json_file}. {_ADVICE} (OpenMoji "
                "sets: run tools/make_openmoji.py first)"
            )
        if _is_local(image_root) and not os.path.isdir(image_root):
            raise FileNotFoundError(
                f"Data set {name!r}: folder of pictures not found: {image_root}. {_ADVICE}"
            )


def check_same_classes(cfg: CfgNode) -> None:
    """See that the test sets have the classes of the training sets, by name and in order.

    To be called when the training sets are loaded: their metadata has their classes then. Of a test
    set whose metadata has none the annotation file is read; what is known of neither passes.

    Raises:
        ValueError: naming two sets and the first class that differs.
    """
    known = {name: _spellings(name) for name in cfg.DATASETS.TRAIN}
    first = next((name for name, spellings in known.items() if spellings), None)
    if first is None:
        return
    known |= {name: _spellings(name) or _read_spellings(name) for name in cfg.DATASETS.TEST}
    for name, spellings in known.items():
        if spellings and not any(classes in known[first] for classes in spellings):
            raise ValueError(class_difference(first, known[first][0], name, spellings[0]))


def class_difference(
    first: str, expected: Sequence[str], name: str, classes: Sequence[str]
) -> str:
    """Say in which class two data sets differ first.

    Args:
        first: name of a data set.
        expected: names of its classes, in order.
        name: name of another one.
        classes: names of its classes, which differ.
    """
    pairs = enumerate(itertools.zip_longest(expected, classes))
    number, (there, here) = next((n, pair) for n, pair in pairs if pair[0] != pair[1])
    return (
        f"Data sets {first!r} and {name!r} have different classes, {len(expected)} and "
        f"{len(classes)}: number {number} is {there!r} and {here!r}. Classes are counted in the "
        "order of category ids: give both annotation files the same categories, those without an "
        "annotation too"
    )


def _is_local(path: str | None) -> bool:
    return bool(path) and "://" not in path


def _spellings(name: str) -> list[list[str]]:
    """Class names by metadata: Detectron2's, and for its LVIS sets also those of LVIS's files.

    Detectron2 takes a class's first synonym, which in v1.0 is another word for one class.
    """
    metadata = MetadataCatalog.get(name)
    found = (metadata.get("thing_classes"), metadata.get("names_in_file"))
    return [list(classes) for classes in found if classes is not None]


def _read_spellings(name: str) -> list[list[str]]:
    metadata = MetadataCatalog.get(name)
    if metadata.get("evaluator_type") not in ("coco", "lvis") or not metadata.get("json_file"):
        return []
    ignore = metadata.get("ignore", "fault")
    content = judged_file(metadata.json_file, metadata.evaluator_type, ignore).content
    names = {category["id"]: category["name"] for category in content["categories"]}
    return [[names[i] for i in contiguous_classes(content)]]
