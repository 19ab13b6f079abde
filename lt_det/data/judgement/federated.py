"""Judge the lists of the LVIS format: classes that are absent, or not annotated exhaustively."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from typing import Any

from lt_det.data.judgement.findings import Findings
from lt_det.data.judgement.values import MISSING, is_id, whole

__all__ = ["FEDERATED_LISTS", "judge_lists"]

FEDERATED_LISTS = ("neg_category_ids", "not_exhaustive_category_ids")
"""Category ids of an image that are verified to be absent, and that are not exhaustive."""


def judge_lists(
    images: list[dict],
    annotations: Sequence[dict],
    category_ids: Collection[Any],
    findings: Findings,
) -> list[dict]:
    """Judge both lists of every image.

    Args:
        images: judged images.
        annotations: judged annotations; without any (a test set), lists may be missing.
        category_ids: known ids.
        findings: faults and notes are added here.
    """
    needs_lists = len(annotations) > 0
    for key in FEDERATED_LISTS:
        lists = [image.get(key, MISSING) for image in images]
        if not _are_plain(lists, category_ids):
            images = [_judge_list(i, key, needs_lists, category_ids, findings) for i in images]
    _note_contradictions(images, annotations, findings)
    return images


def _are_plain(lists: list, category_ids: Collection[Any]) -> bool:
    if not set(map(type, lists)) <= {list}:
        return False
    ids = list(itertools.chain.from_iterable(lists))
    if not set(map(type, ids)) <= set(map(type, category_ids)):
        return False
    return set(ids) <= set(category_ids)


def _judge_list(
    image: dict, key: str, needs_lists: bool, category_ids: Collection[Any], findings: Findings
) -> dict:
    name, found = f"image {image['id']}", image.get(key)
    if found is None:
        if needs_lists:
            findings.fault(
                f"image lacks {key}, which the LVIS format needs (to read the file as COCO, "
                "give --format coco)",
                name,
            )
        return {k: v for k, v in image.items() if k != key}
    read = [i if (number := whole(i)) is None else number for i in _items(found)]
    if not isinstance(found, list) or not all(map(is_id, read)):
        findings.fault(f"{key} is no list of ids", f"{name}: {found!r:.40}")
        return {**image, key: []}
    for category_id in read:
        if category_id not in category_ids:
            where = f"{name}: {category_id}"
            findings.fault(f"{key} names no category of the file", where)
    if any(isinstance(i, float) for i in found):
        findings.note(f"{key} holds whole decimals: read as integers", name)
        return {**image, key: read}
    return image


def _items(value: Any) -> list:
    return value if isinstance(value, list) else []


def _note_contradictions(
    images: list[dict], annotations: Sequence[dict], findings: Findings
) -> None:
    """Note classes that are annotated in an image that lists them as absent."""
    absent = {image["id"]: set(image.get("neg_category_ids", ())) for image in images}
    pairs = dict.fromkeys(
        (a["image_id"], a["category_id"])
        for a in annotations
        if a["category_id"] in absent[a["image_id"]]
    )
    for image_id, category_id in pairs:
        findings.note(
            "category is annotated and listed as absent: its annotations count, as to the LVIS API",
            f"image {image_id}: {category_id}",
        )
