"""COCO-format data sets of any name and any category ids, with the groups of a long-tailed set.

Unlike LVIS's, their annotation is exhaustive: a class without an annotation is absent. Evaluation
is pycocotools' (see :mod:`lt_det.evaluation.coco_evaluator`).
"""

from __future__ import annotations

import logging

from lt_det.data.datasets.annotation_file import register_annotation_file
from lt_det.data.datasets.standard_records import announce_facts, read_coco_records

__all__ = ["load_coco_format", "register_coco_format"]

logger = logging.getLogger(__name__)


def register_coco_format(
    name: str, json_file: str, image_root: str, *, ignore: str = "fault", **metadata
) -> None:
    """Register a COCO-format data set; nothing is read until it is used.

    Args:
        name: the data set's name in ``DATASETS.TRAIN`` or ``DATASETS.TEST``.
        json_file: annotation file.
        image_root: folder that ``file_name`` is relative to.
        ignore: what objects with ``ignore`` 1 are, "fault" or "crowd".
        metadata: more values for the data set's MetadataCatalog entry.
    """
    register_annotation_file(name, json_file, image_root, "coco", _read, metadata, ignore)


def load_coco_format(
    json_file: str, image_root: str, dataset_name: str | None = None, *, ignore: str = "fault"
) -> list[dict]:
    """Load a COCO-format annotation file into Detectron2's standard dicts.

    Sparse category ids, polygons, compressed and uncompressed RLE, crowds (``iscrowd``) and
    images without annotations are all kept. What the judgement of the file (
    :mod:`lt_det.data.judgement.judge`) leaves out or reads otherwise is logged once.

    Args:
        json_file: annotation file.
        image_root: see :func:`register_coco_format`.
        dataset_name: where to put ``thing_classes`` and ``thing_dataset_id_to_contiguous_id``.
        ignore: see :func:`register_coco_format`.

    Returns:
        One dict an image, sorted by image id.

    Raises:
        FileNotFoundError: if ``json_file`` is missing.
        ValueError: with a table of all its faults.
    """
    records, facts = _read(json_file, image_root, dataset_name, ignore)
    announce_facts(facts, json_file, dataset_name)
    return records


def _read(
    json_file: str, image_root: str, dataset_name: str | None, ignore: str
) -> tuple[list[dict], dict]:
    records, facts = read_coco_records(json_file, image_root, ignore)
    logger.info("Loaded %d images in the COCO format from %s", len(records), json_file)
    return records, facts
