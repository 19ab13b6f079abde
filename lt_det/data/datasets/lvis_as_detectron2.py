"""The records of Detectron2's own LVIS loader, in a fourth of its time."""

from __future__ import annotations

import logging
import os
from collections import defaultdict

from detectron2.data.datasets.lvis import load_lvis_json
from detectron2.structures import BoxMode

from lt_det.data.datasets.judged_file import judged_file

__all__ = ["read_lvis_as_detectron2"]

logger = logging.getLogger(__name__)


class _UnusualError(ValueError):
    """A file that Detectron2's loader refuses, or takes in a way that is not worth repeating."""


def read_lvis_as_detectron2(
    json_file: str, image_root: str, dataset_name: str
) -> tuple[list[dict], dict]:
    """What ``detectron2.data.datasets.lvis.load_lvis_json`` returns, down to the types.

    The file is judged first, as every other: ignored objects and those that are left out of the
    judged file are missing.

    Args:
        json_file: annotation file, of the classes of LVIS v0.5 or v1.0.
        image_root: as in Detectron2, set before the folder's name without a separator.
        dataset_name: as in Detectron2.

    Returns:
        One dict an image, and the judgement's notes.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: with a table of all its faults.
        AssertionError, KeyError, ...: what Detectron2's loader raises.
    """
    judgement = judged_file(json_file, "lvis")
    try:
        records = _records(judgement.content, image_root)
    except (_UnusualError, ValueError, KeyError, TypeError, AttributeError):
        return load_lvis_json(json_file, image_root, dataset_name), {"notes": judgement.notes}
    logger.info("Loaded %d images in the LVIS format from %s", len(records), json_file)
    return records, {"notes": judgement.notes}


def _records(content: dict, image_root: str) -> list[dict]:
    annotations = defaultdict(list)
    for annotation in content["annotations"]:
        if not annotation.get("ignore"):
            annotations[annotation["image_id"]].append(annotation)
    images = {image["id"]: image for image in content["images"]}
    return [_record(images[i], annotations.get(i, ()), image_root) for i in sorted(images)]


def _record(image: dict, annotations: list[dict], image_root: str) -> dict:
    folder, file_name = image["coco_url"].split("/")[-2:]
    return {
        "file_name": os.path.join(image_root + folder, file_name),
        "height": image["height"],
        "width": image["width"],
        "not_exhaustive_category_ids": image.get("not_exhaustive_category_ids", []),
        "neg_category_ids": image.get("neg_category_ids", []),
        "image_id": image["id"],
        "annotations": [_object(annotation) for annotation in annotations],
    }


def _object(annotation: dict) -> dict:
    polygons = annotation["segmentation"]
    if not isinstance(polygons, list):
        raise _UnusualError
    return {
        "bbox": annotation["bbox"],
        "bbox_mode": BoxMode.XYWH_ABS,
        "category_id": annotation["category_id"] - 1,
        "segmentation": polygons,
    }
