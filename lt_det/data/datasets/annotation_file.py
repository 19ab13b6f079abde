"""Annotation files in the COCO family of formats (COCO, LVIS), from judgement to standard dicts.

Detectron2's own LVIS loader takes ``category_id - 1`` as the class, wants polygons and ``coco_url``
and insists on "v1" or "v0.5" in the name. This one maps ids, reads ``file_name`` too and keeps RLE
masks (set ``INPUT.MASK_FORMAT: bitmask`` for them).
"""

from __future__ import annotations

import functools
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

from lt_det.data.datasets.instances import instances_of
from lt_det.data.datasets.judged_file import announce_notes
from lt_det.data.datasets.record_source import RecordSource
from lt_det.data.judgement.fault import Fault, refuse_faults
from lt_det.data.judgement.judge import Judgement

__all__ = [
    "announce_facts",
    "contiguous_classes",
    "register_annotation_file",
    "standard_records",
]


def register_annotation_file(
    name: str,
    json_file: str,
    image_root: str,
    evaluator_type: str,
    read: Callable,
    metadata: dict,
    ignore: str = "fault",
) -> None:
    """Register a data set that is the whole of one annotation file; nothing is read.

    Args:
        name: the data set's name.
        json_file: annotation file.
        image_root: folder of its images.
        evaluator_type: "coco" or "lvis".
        read: (json_file, image_root, name, ignore) -> records and facts, of
            :func:`standard_records`.
        metadata: more values for the data set's MetadataCatalog entry.
        ignore: see :func:`lt_det.data.judgement.judge.judge`.
    """
    json_file, image_root = os.fspath(json_file), os.fspath(image_root)
    source = RecordSource(
        kind=f"{evaluator_type} {ignore}",
        json_file=json_file,
        image_root=image_root,
        read=functools.partial(read, json_file, image_root, name, ignore),
        announce=lambda facts: announce_facts(facts, json_file, name),
    )
    DatasetCatalog.register(name, source)
    MetadataCatalog.get(name).set(
        json_file=json_file,
        image_root=image_root,
        evaluator_type=evaluator_type,
        ignore=ignore,
        # All of the file and nothing else: its content identifies the set's statistics.
        is_whole_json_file=True,
        **metadata,
    )


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
