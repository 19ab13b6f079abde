"""Judge the images of a file: sizes and names."""

from __future__ import annotations

import re

from lt_det.data.judgement.findings import Findings
from lt_det.data.judgement.ids import dictionaries, judge_ids
from lt_det.data.judgement.values import MISSING, decimal, whole

__all__ = ["judge_images"]

_SIZES = ("height", "width")
# LVIS v0.5 still has the COCO 2014 names; its images are those of 2017, named by their ids alone.
_COCO_2014 = re.compile(r"COCO_(?:train|val|test)2014_([0-9]{12}\.jpg)")


def judge_images(entries: list, is_lvis: bool, findings: Findings) -> list[dict]:
    """Judge the section.

    An image without height and width loses both keys: its size is that of the image file.

    Args:
        entries: the section.
        is_lvis: whether the format is LVIS's.
        findings: faults and notes are added here.
    """
    if not entries:
        findings.fault("no images", "the list is empty")
    images = judge_ids(dictionaries(entries, "images", findings), "images", findings)
    images = [i if _is_plain(i) else _judge_size(i, findings) for i in images]
    return [_with_name_of_2017(i) for i in images] if is_lvis else images


def _is_plain(image: dict) -> bool:
    height, width = image.get("height"), image.get("width")
    return type(height) is int and type(width) is int and height > 0 and width > 0


def _judge_size(image: dict, findings: Findings) -> dict:
    name, sizes = f"image {image['id']}", {}
    lacking = [key for key in _SIZES if image.get(key) is None]
    if lacking:
        findings.note(
            "image lacks height or width: its size is taken from the image file", name
        )
    for key in _SIZES:
        value = image.get(key, MISSING)
        if key in lacking:
            continue
        size = whole(decimal(value))
        if size is None or size <= 0:
            findings.fault("size is no positive number", f"{name}: {value!r:.40}")
        elif type(value) is not int:
            findings.note(f"{key} is a decimal or text: read as an integer", f"{name}: {value!r}")
        sizes[key] = size
    kept = {key: value for key, value in image.items() if key not in _SIZES}
    return kept if lacking or None in sizes.values() else image | sizes


def _with_name_of_2017(image: dict) -> dict:
    name = image.get("file_name")
    if isinstance(name, str) and (found := _COCO_2014.fullmatch(name)):
        return {**image, "file_name": found[1]}
    return image
