"""LVIS-format data sets of any name, any category ids, polygons or RLE.

Detectron2's own loader takes ``category_id - 1`` as the class, wants polygons and ``coco_url`` and
insists on "v1" or "v0.5" in the name. This one maps ids, reads ``file_name`` too and keeps RLE
masks (set ``INPUT.MASK_FORMAT: bitmask`` for them).
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterator

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode
from detectron2.utils.file_io import PathManager
from pycocotools import mask as mask_api

__all__ = ["load_lvis_format", "read_annotation_file", "register_lvis_format"]

logger = logging.getLogger(__name__)


def register_lvis_format(name: str, json_file: str, image_root: str, **metadata) -> None:
    """Register an LVIS-format data set; nothing is read until it is used.

    Args:
        name: the data set's name in ``DATASETS.TRAIN`` or ``DATASETS.TEST``.
        json_file: annotation file.
        image_root: folder that ``file_name`` (or the end of ``coco_url``) is relative to.
        metadata: more values for the data set's MetadataCatalog entry.
    """
    json_file, image_root = os.fspath(json_file), os.fspath(image_root)
    DatasetCatalog.register(name, lambda: load_lvis_format(json_file, image_root, name))
    MetadataCatalog.get(name).set(
        json_file=json_file,
        image_root=image_root,
        evaluator_type="lvis",
        # All of the file and nothing else: its content identifies the set's statistics.
        is_whole_json_file=True,
        **metadata,
    )


def load_lvis_format(
    json_file: str, image_root: str, dataset_name: str | None = None
) -> list[dict]:
    """Load an LVIS-format annotation file into Detectron2's standard dicts.

    Args:
        json_file: annotation file.
        image_root: see :func:`register_lvis_format`.
        dataset_name: where to put ``thing_classes`` and ``thing_dataset_id_to_contiguous_id``.

    Returns:
        One dict an image, sorted by image id. ``neg_category_ids`` and
        ``not_exhaustive_category_ids`` are contiguous class indices, unlike in Detectron2.

    Raises:
        FileNotFoundError: if ``json_file`` is missing.
        ValueError: if it is not valid JSON or an annotation refers to what does not exist.
    """
    content = read_annotation_file(json_file)
    categories = sorted(content["categories"], key=lambda category: category["id"])
    _check_unique(categories, "categories", json_file)
    _check_unique(content["images"], "images", json_file)
    id_map = {category["id"]: index for index, category in enumerate(categories)}
    if dataset_name is not None:
        MetadataCatalog.get(dataset_name).set(
            thing_classes=[category["name"] for category in categories],
            thing_dataset_id_to_contiguous_id=id_map,
        )
    annotations = defaultdict(list)
    for annotation in content.get("annotations", ()):
        annotations[annotation["image_id"]].append(annotation)
    images = sorted(content["images"], key=lambda image: image["id"])
    unknown = set(annotations) - {image["id"] for image in images}
    if unknown:
        raise ValueError(f"{json_file}: annotations of unknown image ids {sorted(unknown)[:10]}")
    records = [
        _record(image, annotations[image["id"]], image_root, id_map, json_file) for image in images
    ]
    logger.info("Loaded %d images in the LVIS format from %s", len(records), json_file)
    return records


def read_annotation_file(json_file: str) -> dict:
    """Read a JSON annotation file with ``images`` and ``categories``.

    Raises:
        FileNotFoundError: naming the file and the variable that moves it.
        ValueError: if it is broken.
    """
    path = PathManager.get_local_path(json_file)
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"Annotation file not found: {path}. Check the path, or set DETECTRON2_DATASETS to "
            "the folder that holds the data sets (OpenMoji sets: run tools/make_openmoji.py first)"
        )
    with open(path, "rb") as file, _no_garbage_collection():
        try:
            content = json.load(file)
        except ValueError as error:
            raise ValueError(f"{path} is not valid JSON (truncated download?): {error}") from error
    missing = {"images", "categories"} - set(content if isinstance(content, dict) else ())
    if missing:
        raise ValueError(f"{path} is not an LVIS annotation file: it lacks {sorted(missing)}")
    return content


def _check_unique(entries: list[dict], section: str, source: str) -> None:
    ids = Counter(entry["id"] for entry in entries)
    repeated = [entry_id for entry_id, count in ids.items() if count > 1]
    if repeated:
        raise ValueError(f"{source}: ids {repeated[:10]} occur more than once in {section!r}")


def _record(image: dict, annotations: list[dict], image_root: str, id_map: dict, source) -> dict:
    def contiguous(category_id: int) -> int:
        if category_id not in id_map:
            raise ValueError(
                f"{source}: image {image['id']} refers to category {category_id}, which is not "
                "among the file's categories"
            )
        return id_map[category_id]

    return {
        "file_name": os.path.join(image_root, _file_name(image, source)),
        "image_id": image["id"],
        "height": image["height"],
        "width": image["width"],
        "neg_category_ids": [contiguous(c) for c in image.get("neg_category_ids", ())],
        "not_exhaustive_category_ids": [
            contiguous(c) for c in image.get("not_exhaustive_category_ids", ())
        ],
        "annotations": [
            {
                "bbox": annotation["bbox"],
                "bbox_mode": BoxMode.XYWH_ABS,
                "category_id": contiguous(annotation["category_id"]),
                **_segmentation(annotation),
            }
            for annotation in annotations
        ],
    }


def _segmentation(annotation: dict) -> dict:
    """Polygons or compressed RLE, which is all Detectron2's mapper decodes; none for a box."""
    segmentation = annotation.get("segmentation")
    if not segmentation:
        return {}
    if isinstance(segmentation, dict) and isinstance(segmentation["counts"], list):
        segmentation = mask_api.frPyObjects(segmentation, *segmentation["size"])
    return {"segmentation": segmentation}


def _file_name(image: dict, source: str) -> str:
    """``file_name``, or LVIS v1's ``coco_url``, whose last two parts are folder and file.

    LVIS v0.5 still has the COCO 2014 names; the pictures are those of 2017, named by id alone.
    """
    if "file_name" in image:
        name = image["file_name"]
        return name[-len("000000000000.jpg") :] if name.startswith("COCO_") else name
    if "coco_url" in image:
        return os.path.join(*image["coco_url"].split("/")[-2:])
    raise ValueError(f"{source}: image {image['id']} has neither file_name nor coco_url")


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Half the time of ``json.load`` on a large file goes into cyclic garbage collection."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
