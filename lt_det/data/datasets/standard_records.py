"""Turn a judged annotation file into Detectron2's standard dicts, and tell what belongs to them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from detectron2.data import MetadataCatalog

from lt_det.data.datasets.instances import instances_of
from lt_det.data.datasets.judged_file import announce_notes, judged_file
from lt_det.data.judgement.fault import Fault, refuse_faults
from lt_det.data.judgement.judge import Judgement

__all__ = ["announce_facts", "contiguous_classes", "read_coco_records", "standard_records"]


def contiguous_classes(content: Mapping) -> dict[Any, int]:
    """Map each category id of a judged file to a class in [0, K), in the order of the ids."""
    ids = sorted(category["id"] for category in content["categories"])
    return {category_id: index for index, category_id in enumerate(ids)}


def standard_records(
    judgement: Judgement, json_file: str, image_root: str
) -> tuple[list[dict], dict]:
    """Give Detectron2's standard dicts of a judged file, one an image, sorted by image id.

    A record has no ``height`` and ``width`` where the file has none.

    Args:
        judgement: without faults.
        json_file: for messages.
        image_root: folder that ``file_name`` (or the end of ``coco_url``) is relative to.

    Returns:
        The records, and what :func:`announce_facts` tells beside them.

    Raises:
        ValueError: naming images without a file name.
    """
    content = judgement.content
    _refuse_nameless(content["images"], json_file)
    id_map = contiguous_classes(content)
    annotations = defaultdict(list)
    for annotation in content["annotations"]:
        annotations[annotation["image_id"]].append(annotation)
    records = [
        _record(image, annotations.get(image["id"], []), image_root, id_map)
        for image in sorted(content["images"], key=lambda image: image["id"])
    ]
    names = {category["id"]: category["name"] for category in content["categories"]}
    return records, {
        "classes": [names[category_id] for category_id in id_map],
        "category_ids": list(id_map),
        "notes": judgement.notes,
    }


def announce_facts(facts: Mapping, json_file: str, dataset_name: str | None) -> None:
    """Tell what is known of a file beside its records.

    Args:
        facts: of :func:`standard_records`.
        json_file: the file.
        dataset_name: where to put ``thing_classes`` and ``thing_dataset_id_to_contiguous_id``.
    """
    if dataset_name is not None:
        MetadataCatalog.get(dataset_name).set(
            thing_classes=facts["classes"],
            thing_dataset_id_to_contiguous_id={i: c for c, i in enumerate(facts["category_ids"])},
        )
    announce_notes(facts["notes"], json_file, dataset_name)


def _record(image: dict, annotations: list[dict], image_root: str, id_map: Mapping) -> dict:
    record = {
        "file_name": os.path.join(image_root, _file_name(image)),
        "image_id": image["id"],
        **{key: image[key] for key in ("height", "width") if key in image},
    }
    classes = [id_map[annotation["category_id"]] for annotation in annotations]
    return record | {"annotations": instances_of(annotations, classes)}


def _refuse_nameless(images: Iterable[dict], json_file: str) -> None:
    kind = "image has neither file_name nor coco_url"
    refuse_faults(
        (Fault(kind, f"image {i['id']}") for i in images if _file_name(i) is None), json_file
    )


def _file_name(image: dict) -> str | None:
    """Give ``file_name``, or LVIS v1's ``coco_url``, whose last two parts are folder and file."""
    if isinstance(image.get("file_name"), str):
        return image["file_name"]
    if isinstance(image.get("coco_url"), str):
        return os.path.join(*image["coco_url"].split("/")[-2:])
    return None


def read_coco_records(
    json_file: str, image_root: str, ignore: str = "fault"
) -> tuple[list[dict], dict]:
    """Read a COCO-format file; see :func:`standard_records`."""
    return standard_records(judged_file(json_file, "coco", ignore), json_file, image_root)
