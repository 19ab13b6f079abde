"""Counts of what is in a data set's records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lt_det.class_stats import LVIS_THRESHOLDS, ClassStats
from lt_det.data.inspection.picture_files import is_picture_file

__all__ = ["NUM_FILES_CHECKED", "DatasetSummary", "summarize"]

# Enough to find a wrong image root, few enough for a network drive.
NUM_FILES_CHECKED = 100


@dataclass(frozen=True)
class DatasetSummary:
    """What :func:`summarize` found.

    Attributes:
        name: the data set.
        stats: its class counts.
        class_names: K names.
        category_ids: their K ids in the annotation file, where there is one.
        groups: group of each class (K,): 0 rare, 1 common, 2 frequent.
        thresholds: image counts that end the rare and the common group; None where the groups are
            those of the file's ``frequency``.
        num_pictures: pictures, with annotations or without.
        sizes: (N, 2) height and width of the pictures whose record says so, in pixels.
        num_empty: pictures without annotations.
        num_crowd: crowd regions, which are not counted as instances.
        missing_files: picture files that are not there, of those that were looked for.
        counted_in: the training set whose image counts the groups follow; "" for this set's own.
    """

    name: str
    stats: ClassStats
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...] | None
    groups: np.ndarray
    thresholds: tuple[int, int] | None
    num_pictures: int
    sizes: np.ndarray
    num_empty: int
    num_crowd: int
    missing_files: tuple[str, ...]
    counted_in: str = ""


def summarize(
    name: str,
    dataset_dicts: Sequence[Mapping],
    class_names: Sequence[str],
    thresholds: tuple[int, int] = LVIS_THRESHOLDS,
    *,
    category_ids: Sequence[int] | None = None,
    groups: np.ndarray | None = None,
) -> DatasetSummary:
    """Count what is in records of Detectron2's standard format.

    Args:
        name: the data set's name.
        dataset_dicts: its records.
        class_names: K names.
        thresholds: image counts that end the rare and the common group.
        category_ids: K ids of the classes in the annotation file.
        groups: group of each class (K,), if not by the thresholds.

    Raises:
        ValueError: if a ``category_id`` has no name.
    """
    stats = ClassStats.from_dicts(dataset_dicts, len(class_names))
    sizes = [(r["height"], r["width"]) for r in dataset_dicts if "height" in r and "width" in r]
    return DatasetSummary(
        name=name,
        stats=stats,
        class_names=tuple(class_names),
        category_ids=None if category_ids is None else tuple(category_ids),
        groups=stats.groups(thresholds) if groups is None else groups,
        thresholds=thresholds if groups is None else None,
        num_pictures=len(dataset_dicts),
        sizes=np.array(sizes, dtype=np.int64).reshape(-1, 2),
        num_empty=sum(not record.get("annotations") for record in dataset_dicts),
        num_crowd=sum(
            bool(annotation.get("iscrowd", 0))
            for record in dataset_dicts
            for annotation in record.get("annotations", ())
        ),
        missing_files=_missing_files(dataset_dicts),
    )


def _missing_files(dataset_dicts: Sequence[Mapping]) -> tuple[str, ...]:
    step = max(1, len(dataset_dicts) // NUM_FILES_CHECKED)
    checked = (record.get("file_name") for record in dataset_dicts[::step][:NUM_FILES_CHECKED])
    return tuple(name for name in checked if name is not None and not is_picture_file(name))
