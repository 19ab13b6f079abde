"""Judge the images of a file: sizes and names."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from lt_det.data.judgement.findings import Findings
from lt_det.data.judgement.ids import dictionaries, judge_ids
from lt_det.data.judgement.masks import FARTHEST, is_size
from lt_det.data.judgement.values import decimal, is_id, whole

__all__ = ["complete_sizes", "judge_images"]

_SIZES = ("height", "width")
# LVIS v0.5 has COCO 2014's names beside the addresses of the images of 2017, named by ids alone.
_COCO_2014 = re.compile(r"COCO_(?:train|val|test)2014_([0-9]{12}\.jpg)")


def judge_images(entries: list, findings: Findings) -> list[dict]:
    """Judge the section.

    An image without height or width has neither key; see `complete_sizes`.

    Args:
        entries: the section.
        findings: faults and notes are added here.
    """
    if not entries:
        findings.fault("no images", "the list is empty")
    images = dictionaries(entries, "images", findings)
    images = [i if _is_plain(i) else _judge_size(i, findings) for i in images]
    return [_with_name_of_2017(i) for i in judge_ids(images, "images", findings)]


def _is_plain(image: dict) -> bool:
    height, width = image.get("height"), image.get("width")
    return all(type(size) is int and 0 < size <= FARTHEST for size in (height, width))


def _judge_size(image: dict, findings: Findings) -> dict:
    """Give the image with whole sizes, without any where one is missing, NaN where one is wrong."""
    name, sizes = f"image {image.get('id')}", {}
    for key in _SIZES:
        value = image.get(key)
        if value is None:
            continue
        size = whole(decimal(value))
        if size is None or not 0 < size <= FARTHEST:
            findings.fault("size is no positive number", f"{name}: {value!r:.40}")
            # One fault is enough: nothing is compared with NaN, and nothing is missing.
            return image | dict.fromkeys(_SIZES, math.nan)
        if type(value) is not int:
            findings.note(f"{key} is a decimal or text: read as an integer", f"{name}: {value!r}")
        sizes[key] = size
    if len(sizes) == len(_SIZES):
        return image | sizes
    return {key: value for key, value in image.items() if key not in _SIZES}


def complete_sizes(images: list[dict], annotations: Iterable, findings: Findings) -> list[dict]:
    """Give images without a size that of their run-length codes; note where there is none.

    Args:
        images: of `judge_images`.
        annotations: the file's section as it is.
        findings: notes are added here.
    """
    lacking = {image["id"] for image in images if "width" not in image}
    if not lacking:
        return images
    size_of: dict[Any, dict] = {}
    for annotation in annotations:
        rle = annotation.get("segmentation") if isinstance(annotation, dict) else None
        size = rle.get("size") if isinstance(rle, dict) else None
        if is_size(size) and is_id(annotation.get("image_id")):
            known = dict(zip(_SIZES, map(whole, size), strict=True))
            size_of.setdefault(annotation["image_id"], known)
    for image_id in sorted(lacking, key=str):
        source = "its RLE masks" if image_id in size_of else "the image file"
        kind = f"image lacks height or width: its size is taken from {source}"
        findings.note(kind, f"image {image_id}")
    return [i | size_of.get(i["id"], {}) if i["id"] in lacking else i for i in images]


def _with_name_of_2017(image: dict) -> dict:
    name, address = image.get("file_name"), image.get("coco_url")
    if not isinstance(name, str) or not isinstance(address, str):
        return image
    found = _COCO_2014.fullmatch(name)
    return {**image, "file_name": found[1]} if found and address.endswith(f"/{found[1]}") else image
