"""LVIS-format data sets of any name, any category ids, polygons or RLE."""

from __future__ import annotations

import logging

from lt_det.data.datasets.annotation_file import (
    announce_facts,
    class_of,
    contiguous_classes,
    naming_the_file,
    read_annotation_file,
    register_annotation_file,
    standard_records,
)

__all__ = ["FEDERATED_LISTS", "load_lvis_format", "register_lvis_format"]

logger = logging.getLogger(__name__)
# Category ids of an image that are verified to be absent, and that are not annotated exhaustively.
FEDERATED_LISTS = ("neg_category_ids", "not_exhaustive_category_ids")


def register_lvis_format(name: str, json_file: str, image_root: str, **metadata) -> None:
    """Register an LVIS-format data set; nothing is read until it is used.

    Args:
        name: the data set's name in ``DATASETS.TRAIN`` or ``DATASETS.TEST``.
        json_file: annotation file.
        image_root: folder that ``file_name`` (or the end of ``coco_url``) is relative to.
        metadata: more values for the data set's MetadataCatalog entry.
    """
    register_annotation_file(name, json_file, image_root, "lvis", _read, metadata)


def load_lvis_format(
    json_file: str, image_root: str, dataset_name: str | None = None
) -> list[dict]:
    """Load an LVIS-format annotation file into Detectron2's standard dicts.

    Dropped, with a warning, is what :mod:`lt_det.data.datasets.instances` lists.

    Args:
        json_file: annotation file.
        image_root: see :func:`register_lvis_format`.
        dataset_name: where to put ``thing_classes`` and ``thing_dataset_id_to_contiguous_id``.

    Returns:
        One dict an image, sorted by image id. ``neg_category_ids`` and
        ``not_exhaustive_category_ids`` are contiguous class indices, unlike in Detectron2.

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
        id_map = contiguous_classes(content, json_file)
        images = {image["id"]: image for image in content["images"]}
        for record in records:
            image = images[record["image_id"]]
            for key in FEDERATED_LISTS:
                record[key] = [class_of(c, id_map, image, json_file) for c in image.get(key, ())]
    logger.info("Loaded %d images in the LVIS format from %s", len(records), json_file)
    return records, facts
