"""A picture's annotations as Detectron2's standard dicts, without those that teach nothing.

Dropped, and counted for one warning a file:

- an object whose box has no area inside its picture. Detectron2's mapper drops it at every visit,
  but for a box of negative size, which it mirrors and trains on;
- a polygon of fewer than three points, of odd length, or with a number that is not finite (for
  which pycocotools takes all memory), and an object that is left without a polygon, as in
  Detectron2's loader.

Class statistics count what is left. The official APIs read the file themselves: to them, a dropped
object is ground truth still.
"""

from __future__ import annotations

import math
from collections import Counter

from detectron2.structures import BoxMode
from pycocotools import mask as mask_api

__all__ = ["MalformedError", "describe_dropped", "instances_of", "is_polygon"]

_NO_AREA = "objects whose box has no area inside the picture"
_NO_POLYGON = "objects without a valid polygon"
_BAD_POLYGON = "polygons that are not valid"


class MalformedError(ValueError):
    """An entry that cannot be read; the message does not name the file yet."""


def instances_of(
    image: dict, annotations: list[dict], classes: list[int], dropped: Counter
) -> list[dict]:
    """Standard dicts of a picture's annotations.

    Args:
        image: entry of ``images``.
        annotations: those of the image.
        classes: their contiguous classes.
        dropped: what is dropped is added here; see :func:`describe_dropped`.

    Raises:
        MalformedError: naming the image, if a box or mask cannot be read at all.
        KeyError, TypeError: if an entry is not of the format.
    """
    instances = []
    for annotation, class_id in zip(annotations, classes, strict=True):
        if not _has_area(annotation["bbox"], image):
            dropped[_NO_AREA] += 1
            continue
        segmentation = _segmentation(annotation, image, dropped)
        if segmentation is not None and not segmentation:
            dropped[_NO_POLYGON] += 1
            continue
        instance = {
            "bbox": annotation["bbox"],
            "bbox_mode": BoxMode.XYWH_ABS,
            "category_id": class_id,
        }
        if "iscrowd" in annotation:
            instance["iscrowd"] = annotation["iscrowd"]
        if segmentation is not None:
            instance["segmentation"] = segmentation
        instances.append(instance)
    return instances


def describe_dropped(dropped: Counter) -> str:
    """Such as "objects without a valid polygon (2), polygons that are not valid (5)"."""
    return ", ".join(f"{kind} ({number})" for kind, number in sorted(dropped.items()))


def is_polygon(points: list) -> bool:
    """Whether a list holds three points or more, x and y by turns, all finite.

    Raises:
        TypeError: if it is no list of numbers.
    """
    return len(points) >= 6 and len(points) % 2 == 0 and math.isfinite(sum(points))


def _has_area(box: list, image: dict) -> bool:
    if len(box) != 4:
        raise MalformedError(f"bbox {box} of image {image['id']} is no list of four numbers")
    x, y, width, height = box
    return (
        math.isfinite(x + y + width + height)
        and min(width, height) > 0
        and max(x, 0) < min(x + width, image["width"])
        and max(y, 0) < min(y + height, image["height"])
    )


def _segmentation(annotation: dict, image: dict, dropped: Counter) -> list | dict | None:
    """Valid polygons, or compressed RLE, which the mapper decodes; None for a box alone."""
    segmentation = annotation.get("segmentation")
    if not segmentation:
        return None
    if isinstance(segmentation, dict):
        return _compressed(segmentation, image)
    if not isinstance(segmentation, list):
        raise MalformedError(f"segmentation of image {image['id']} is neither polygons nor RLE")
    polygons = [polygon for polygon in segmentation if is_polygon(polygon)]
    if len(polygons) < len(segmentation):
        dropped[_BAD_POLYGON] += len(segmentation) - len(polygons)
    return polygons


def _compressed(rle: dict, image: dict) -> dict:
    size, counts = rle["size"], rle["counts"]
    if not isinstance(counts, list):
        return rle
    # pycocotools would fill the rest of the mask with what lies in memory.
    if sum(counts) != math.prod(size) or any(count < 0 for count in counts):
        raise MalformedError(
            f"the counts {counts!r:.40} of image {image['id']}'s RLE do not divide the "
            f"{math.prod(size)} pixels of its size {size}"
        )
    return mask_api.frPyObjects(rle, *size)
