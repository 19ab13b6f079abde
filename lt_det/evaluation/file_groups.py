"""Groups and training counts for an evaluation on files alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lt_det.class_stats import GROUP_NAMES, ClassStats
from lt_det.data.annotation_file import (
    announce_facts,
    contiguous_classes,
    naming_the_file,
    read_annotation_file,
    standard_records,
)
from lt_det.data.fault import Fault, refuse_faults
from lt_det.data.json_file import load_json

__all__ = ["read_groups", "training_stats"]


def read_groups(path: str | os.PathLike, category_ids: Sequence[Any]) -> np.ndarray:
    """Read the group of every class.

    Args:
        path: JSON object, category id -> ``"rare"``, ``"common"`` or ``"frequent"``.
        category_ids: all category ids of the ground truth, in the order of the classes.

    Returns:
        Index into `GROUP_NAMES` of each class [K].

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: with all categories that are missing, unknown, or of another group.
    """
    try:
        group_of = load_json(path)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"Groups file not found: {path}. Give a JSON object of category id -> one of "
            f"{GROUP_NAMES}."
        ) from None
    if not isinstance(group_of, dict):
        raise ValueError(
            f"{path} holds a {type(group_of).__name__}, expected a JSON object of category id -> "
            f"one of {GROUP_NAMES}."
        )
    # Keys are text in JSON.
    names = [str(category_id) for category_id in category_ids]
    refuse_faults(_group_faults(group_of, names), path)
    return np.array([GROUP_NAMES.index(group_of[name]) for name in names], dtype=np.int64)


def training_stats(path: str | os.PathLike, category_ids: Sequence[Any]) -> ClassStats:
    """Count the classes of a training set's annotation file, in COCO or LVIS format.

    Args:
        path: annotation file; its pictures are not needed.
        category_ids: category ids of the ground truth, in the order of the classes.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is broken, has no annotations, or has other categories.
    """
    path = os.fspath(path)
    content = read_annotation_file(path)
    with naming_the_file(path, None):
        ids = list(contiguous_classes(content, path))
        if ids != list(category_ids):
            differing = sorted(set(ids) ^ set(category_ids), key=str)
            raise ValueError(
                f"{path} has other categories than the ground truth: only one of them has the ids "
                f"{differing[:5]}. Give the training set of the evaluated classes."
            )
        if not content.get("annotations"):
            raise ValueError(f"{path} has no annotations to count: it is no training set.")
        records, facts = standard_records(content, path, "", has_names=False)
    announce_facts(facts, path, None)
    return ClassStats.from_dicts(records, len(ids))


def _group_faults(group_of: Mapping[str, Any], names: Sequence[str]) -> Iterator[Fault]:
    for name in names:
        if name not in group_of:
            yield Fault("category of the ground truth has no group", name)
    known = set(names)
    for name, group in group_of.items():
        if name not in known:
            yield Fault("category is not in the ground truth", name)
        if group not in GROUP_NAMES:
            yield Fault(f"group is none of {', '.join(GROUP_NAMES)}", f"{name}: {group!r:.40}")
