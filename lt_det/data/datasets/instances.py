"""Turn an image's judged annotations into Detectron2's standard dicts.

Crowds stay, for they are no background. Ignored objects of the LVIS format do not: Detectron2 knows
no ``ignore``, and its mapper would train on them.
"""

from __future__ import annotations

from detectron2.structures import BoxMode
from pycocotools import mask as mask_api

__all__ = ["instances_of"]


def instances_of(annotations: list[dict], classes: list[int]) -> list[dict]:
    """Give the standard dicts of an image's annotations, ignored ones left out.

    Args:
        annotations: of one image, as judged.
        classes: their contiguous classes.
    """
    instances = []
    for annotation, class_id in zip(annotations, classes, strict=True):
        if annotation.get("ignore"):
            continue
        instance = {
            "bbox": annotation["bbox"],
            "bbox_mode": BoxMode.XYWH_ABS,
            "category_id": class_id,
        }
        if "iscrowd" in annotation:
            instance["iscrowd"] = annotation["iscrowd"]
        if "segmentation" in annotation:
            instance["segmentation"] = _compressed(annotation["segmentation"])
        instances.append(instance)
    return instances


def _compressed(mask: list | dict) -> list | dict:
    """Polygons as they are, and run-length codes compressed: the mapper decodes those alone."""
    if isinstance(mask, dict) and isinstance(mask["counts"], list):
        return mask_api.frPyObjects(mask, *mask["size"])
    return mask
