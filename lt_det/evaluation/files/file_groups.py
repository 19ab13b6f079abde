"""Groups and training counts for an evaluation on files alone."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lt_det.class_stats import GROUP_NAMES, ClassStats
from lt_det.data.datasets.judged_file import announce_notes, judged_file
from lt_det.data.judgement.fault import Fault, refuse_faults
from lt_det.data.judgement.judge import is_counted
from lt_det.utils.json_file import load_json

__all__ = ["read_groups", "training_stats"]

logger = logging.getLogger(__name__)

# They have a meaning of their own in the results' keys.
_RESERVED = ("all", "boundary", "fixed", "pool")


def read_groups(path: str | os.PathLike, category_ids: Sequence[Any]) -> dict[str, np.ndarray]:
    """Read the group of every class.

    Args:
        path: JSON object, category id -> ``"rare"``, ``"common"`` or ``"frequent"``, or names of
            your own for all.
        category_ids: all category ids of the ground truth, in the order of the classes.

    Returns:
        Name -> whether each class is in the group [K]: the three, or your own by name.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: with all categories that are missing, unknown, or of a bad group.
    """
    try:
        group_of = load_json(path)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"Groups file not found: {path}. Give a JSON object of category id -> one of "
            f"{GROUP_NAMES}, or names of your own."
        ) from None
    if not isinstance(group_of, dict):
        raise ValueError(
            f"{path} holds a {type(group_of).__name__}, expected a JSON object of category id -> "
            f"one of {GROUP_NAMES}, or names of your own."
        )
    # Keys are text in JSON.
    ids = [str(category_id) for category_id in category_ids]
    refuse_faults(_group_faults(group_of, ids), path)
    groups = [group_of[i] for i in ids]
    is_frequency = set(groups) <= set(GROUP_NAMES)
    names = GROUP_NAMES if is_frequency else sorted(set(groups))
    return {name: np.array([group == name for group in groups]) for name in names}


def training_stats(
    path: str | os.PathLike, categories: Mapping[Any, str], ignore: str = "fault"
) -> ClassStats:
    """Count the classes of a training set's annotation file, in COCO or LVIS format.

    Args:
        path: annotation file; its images are not needed.
        categories: category id -> name of the ground truth.
        ignore: what objects with ``ignore`` 1 are in the COCO format, "fault" or "crowd".

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it has faults or no annotations, or if its categories differ in id or name.
    """
    path = os.fspath(path)
    judgement = judged_file(path, None, ignore)
    content = judgement.content
    _refuse_other_categories({c["id"]: c["name"] for c in content["categories"]}, categories, path)
    if not content["annotations"]:
        raise ValueError(f"{path} has no annotations to count: it is no training set.")
    logger.info(f"'{path}' is read in the {judgement.data_format.upper()} format.")
    announce_notes(judgement.notes, path)
    class_of = {category_id: number for number, category_id in enumerate(sorted(categories))}
    of_image = defaultdict(list)
    for annotation in filter(is_counted, content["annotations"]):
        class_id = class_of[annotation["category_id"]]
        of_image[annotation["image_id"]].append({"category_id": class_id})
    records = [{"annotations": of_image[image["id"]]} for image in content["images"]]
    return ClassStats.from_dicts(records, len(categories))


def _refuse_other_categories(
    found: Mapping[Any, str], expected: Mapping[Any, str], path: str
) -> None:
    if found.keys() != expected.keys():
        differing = sorted(found.keys() ^ expected.keys(), key=str)
        raise ValueError(
            f"{path} has other categories than the ground truth: only one of them has the ids "
            f"{differing[:5]}. Give the training set of the evaluated classes."
        )
    differing = [i for i in sorted(expected) if found[i] != expected[i]]
    if differing:
        first = differing[0]
        raise ValueError(
            f"{path} has other categories than the ground truth: {len(differing)} of "
            f"{len(expected)} ids have other names, first id {first!r}, which is "
            f"{found[first]!r} there and {expected[first]!r} in the ground truth. Give the "
            "training set of the evaluated classes."
        )


def _group_faults(group_of: Mapping[str, Any], ids: Sequence[str]) -> Iterator[Fault]:
    for category_id in ids:
        if category_id not in group_of:
            yield Fault("category of the ground truth has no group", category_id)
    known = set(ids)
    of_frequency = any(group in GROUP_NAMES for group in group_of.values())
    for category_id, group in group_of.items():
        if category_id not in known:
            yield Fault("category is not in the ground truth", category_id)
        if of_frequency and group not in GROUP_NAMES:
            kind = f"group is none of {', '.join(GROUP_NAMES)}, which others are"
            yield Fault(kind, f"{category_id}: {group!r:.40}")
        elif not (isinstance(group, str) and group.isidentifier()) or group in _RESERVED:
            kind = f"group is no name (letters, digits, _; not {', '.join(_RESERVED)})"
            yield Fault(kind, f"{category_id}: {group!r:.40}")
