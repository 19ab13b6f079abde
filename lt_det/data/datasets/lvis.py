"""LVIS-format data sets of any name, any category ids, polygons or RLE."""

from __future__ import annotations

import logging

from lt_det.data.datasets.annotation_file import register_annotation_file
from lt_det.data.datasets.judged_file import judged_file
from lt_det.data.datasets.standard_records import (
    announce_facts,
    contiguous_classes,
    standard_records,
)
from lt_det.data.judgement.federated import FEDERATED_LISTS

__all__ = ["FEDERATED_LISTS", "load_lvis_format", "register_lvis_format"]

logger = logging.getLogger(__name__)


def register_lvis_format(
    name: str, json_file: str, image_root: str, *, ignore: str = "fault", **metadata
) -> None:
    """Register an LVIS-format data set; nothing is read until it is used.

    Args:
        name: the data set's name in ``DATASETS.TRAIN`` or ``DATASETS.TEST``.
        json_file: annotation file.
        image_root: folder that ``file_name`` (or the end of ``coco_url``) is relative to.
        ignore: as in :func:`lt_det.data.datasets.coco.register_coco_format`; without effect here,
            for the LVIS format says what an ignored object is.
        metadata: more values for the data set's MetadataCatalog entry.
    """
    register_annotation_file(name, json_file, image_root, "lvis", _read, metadata, ignore)


def load_lvis_format(
    json_file: str, image_root: str, dataset_name: str | None = None
) -> list[dict]:
    """Load an LVIS-format annotation file into Detectron2's standard dicts.

    Ignored objects are left out. What the judgement of the file
    (:mod:`lt_det.data.judgement.judge`) leaves out or reads otherwise is logged once.

    Args:
        json_file: annotation file.
        image_root: see :func:`register_lvis_format`.
        dataset_name: where to put ``thing_classes`` and ``thing_dataset_id_to_contiguous_id``.

    Returns:
        One dict an image, sorted by image id. ``neg_category_ids`` and
        ``not_exhaustive_category_ids`` are contiguous class indices, unlike in Detectron2.

    Raises:
        FileNotFoundError: if ``json_file`` is missing.
        ValueError: with a table of all its faults.
    """
    records, facts = _read(json_file, image_root, dataset_name, "fault")
    announce_facts(facts, json_file, dataset_name)
    return records


def _read(
    json_file: str, image_root: str, dataset_name: str | None, ignore: str
) -> tuple[list[dict], dict]:
    judgement = judged_file(json_file, "lvis", ignore)
    records, facts = standard_records(judgement, json_file, image_root)
    id_map = contiguous_classes(judgement.content)
    images = {image["id"]: image for image in judgement.content["images"]}
    for record in records:
        image = images[record["image_id"]]
        for key in FEDERATED_LISTS:
            record[key] = [id_map[c] for c in image.get(key, ())]
    logger.info("Loaded %d images in the LVIS format from %s", len(records), json_file)
    return records, facts
