"""COCO-format data sets of any name and any category ids, with the groups of a long-tailed set.

Unlike LVIS's, their annotation is exhaustive: a class without an annotation is absent. Evaluation
is pycocotools' (see :mod:`lt_det.evaluation.coco_evaluator`).
"""

from __future__ import annotations

import logging

from lt_det.data.datasets.annotation_file import (
    announce_facts,
    naming_the_file,
    read_annotation_file,
    register_annotation_file,
    standard_records,
)

__all__ = ["load_coco_format", "register_coco_format"]

logger = logging.getLogger(__name__)


def register_coco_format(name: str, json_file: str, image_root: str, **metadata) -> None:
    """Register a COCO-format data set; nothing is read until it is used.

    Args:
        name: the data set's name in ``DATASETS.TRAIN`` or ``DATASETS.TEST``.
        json_file: annotation file.
        image_root: folder that ``file_name`` is relative to.
        metadata: more values for the data set's MetadataCatalog entry.
    """
    register_annotation_file(name, json_file, image_root, "coco", _read, metadata)


def load_coco_format(
    json_file: str, image_root: str, dataset_name: str | None = None
) -> list[dict]:
    """Load a COCO-format annotation file into Detectron2's standard dicts.

    Sparse category ids, polygons, compressed and uncompressed RLE, crowds (``iscrowd``) and
    pictures without annotations are all kept; dropped, with a warning, is what
    :mod:`lt_det.data.datasets.instances` lists.

    Args:
        json_file: annotation file.
        image_root: see :func:`register_coco_format`.
        dataset_name: where to put ``thing_classes`` and ``thing_dataset_id_to_contiguous_id``.

    Returns:
        One dict an image, sorted by image id.

    Raises:
        FileNotFoundError: if ``json_file`` is missing.
        ValueError: if it is broken or an annotation refers to what does not exist.
    """
    records, facts = _read(json_file, image_root, dataset_name)
    announce_facts(facts, json_file, dataset_name)
    return records


def _read(json_file: str, image_root: str, dataset_name: str | None) -> tuple[list[dict], dict]:
    content = read_annotation_file(json_file)
    with naming_the_file(json_file, dataset_name):
        records, facts = standard_records(
            content, json_file, image_root, has_names=dataset_name is not None
        )
    logger.info("Loaded %d images in the COCO format from %s", len(records), json_file)
    return records, facts
