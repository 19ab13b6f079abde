"""Register annotation files in the COCO family of formats (COCO, LVIS).

Detectron2's own LVIS loader takes ``category_id - 1`` as the class, wants polygons and ``coco_url``
and insists on "v1" or "v0.5" in the name. This one maps ids, reads ``file_name`` too and keeps RLE
masks (set ``INPUT.MASK_FORMAT: bitmask`` for them).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable

from detectron2.data import DatasetCatalog, MetadataCatalog

from lt_det.data.datasets.record_source import RecordSource
from lt_det.data.datasets.standard_records import announce_facts

__all__ = ["register_annotation_file"]


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
