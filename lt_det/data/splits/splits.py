"""What a comparison of two splits needs of each: classes, counts and image files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from lt_det.class_stats import ClassStats
from lt_det.data.cache.mapped_records import counting_records
from lt_det.data.datasets.record_source import dataset_records

__all__ = ["Split", "join_splits", "load_split", "split_of_test_set"]


@dataclass(frozen=True)
class Split:
    """One data set, or several that are used as one.

    Attributes:
        name: of the data set; several are joined by " + ".
        class_names: K names, in the order of the category ids.
        stats: counts of the classes; None for a test set without annotations.
        files: paths of the images.
    """

    name: str
    class_names: tuple[str, ...]
    stats: ClassStats | None
    files: tuple[str, ...]


def load_split(name: str) -> Split:
    """Load a registered data set with annotations.

    Raises:
        FileNotFoundError: if its files are missing.
        ValueError: if it is broken or has no classes.
    """
    records = dataset_records(name)
    records = DatasetCatalog.get(name) if records is None else records
    class_names = MetadataCatalog.get(name).get("thing_classes")
    if class_names is None:
        raise ValueError(
            f"Data set {name!r} has no thing_classes in its metadata: only sets with instances "
            "can be compared"
        )
    return Split(
        name,
        tuple(class_names),
        ClassStats.from_dicts(counting_records(records), len(class_names)),
        tuple(record["file_name"] for record in records if record.get("file_name")),
    )


def split_of_test_set(name: str, content: Mapping, files: Sequence[str]) -> Split:
    """Describe a test set without annotations.

    Args:
        name: the data set.
        content: of its annotation file.
        files: paths of its images.
    """
    categories = sorted(content["categories"], key=lambda category: category["id"])
    return Split(
        name,
        tuple(category["name"] for category in categories),
        None,
        tuple(files),
    )


def join_splits(splits: Sequence[Split]) -> Split:
    """Join splits that are trained on together.

    Raises:
        ValueError: if their classes differ.
    """
    first, *others = splits
    for other in others:
        if other.class_names != first.class_names:
            raise ValueError(f"Data sets {first.name!r} and {other.name!r} have different classes")
    if not others:
        return first
    stats = [split.stats for split in splits if split.stats is not None]
    return Split(
        " + ".join(split.name for split in splits),
        first.class_names,
        ClassStats(
            len(first.class_names),
            sum(s.num_images for s in stats),
            np.sum([s.image_count for s in stats], axis=0),
            np.sum([s.instance_count for s in stats], axis=0),
        ),
        tuple(file for split in splits for file in split.files),
    )
