"""Complete a judged file for the official APIs, and write it.

What is completed here needs masks to be decoded, and training does not need it.
"""

from __future__ import annotations

import json
import os
from typing import Any

from pycocotools import mask as mask_api

from lt_det.data.judgement.judge import Judgement
from lt_det.utils.atomic_file import atomic_text

__all__ = ["completed", "write_judged"]


def completed(judgement: Judgement) -> dict[str, Any]:
    """Give a judged file's content with all that the official APIs read.

    A missing ``area`` is the mask's, or the box's of an object without a mask. In the COCO format a
    missing ``iscrowd`` is 0.

    Args:
        judgement: without faults.

    Returns:
        New content, whose annotations are new dictionaries.
    """
    images = {image["id"]: image for image in judgement.content["images"]}
    is_coco = judgement.data_format == "coco"
    annotations = []
    for annotation in judgement.content["annotations"]:
        annotation = dict(annotation)
        if is_coco:
            annotation.setdefault("iscrowd", 0)
        if "area" not in annotation:
            annotation["area"] = _area(annotation, images[annotation["image_id"]])
        annotations.append(annotation)
    return {**judgement.content, "annotations": annotations}


def write_judged(judgement: Judgement, path: str | os.PathLike) -> None:
    """Write a judged file, completed, for any other tool; atomically.

    Raises:
        OSError: if it cannot be written.
    """
    with atomic_text(path) as file:
        json.dump(completed(judgement), file)


def _area(annotation: dict, image: dict) -> float:
    mask = annotation.get("segmentation")
    if not mask:
        return float(annotation["bbox"][2] * annotation["bbox"][3])
    if isinstance(mask, list):
        mask = mask_api.merge(mask_api.frPyObjects(mask, image["height"], image["width"]))
    elif isinstance(mask["counts"], list):
        mask = mask_api.frPyObjects(mask, *mask["size"])
    return float(mask_api.area(mask))
