"""What is wrong with the boxes and masks of an annotation file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lt_det.data.datasets.rle import run_lengths
from lt_det.data.inspection.fault import Fault, is_number, is_positive
from lt_det.data.inspection.requirements import Needs

__all__ = ["box_faults", "is_box", "mask_faults", "normalised_faults", "rle_faults"]

# Boxes are rounded when they are written; more than this outside a picture is a fault.
_SLACK = 2.0


def box_faults(box: Any, image: Mapping, name: str) -> Iterator[Fault]:
    """Of one box, in pixels of its picture."""
    if not is_box(box):
        yield Fault("bbox is no list of four finite numbers", f"{name}: {box}")
        return
    x, y, width, height = box
    if width <= 0 or height <= 0:
        yield Fault("bbox has no area", f"{name}: {box}")
    elif is_positive(image.get("width")) and is_positive(image.get("height")):
        right, bottom = image["width"] + _SLACK, image["height"] + _SLACK
        if min(x, y) < -_SLACK or x + width > right or y + height > bottom:
            size = f"{image['width']} x {image['height']}"
            yield Fault("bbox leaves the picture", f"{name}: {box} in {size} pixels")


def normalised_faults(annotations: list) -> Iterator[Fault]:
    """Boxes as fractions of the picture's size. Some objects are tiny, but never all of a file."""
    boxes = [a["bbox"] for a in annotations if isinstance(a, dict) and is_box(a.get("bbox"))]
    if boxes and all(0 <= value <= 1 for box in boxes for value in box):
        yield Fault(
            "bbox is below 1 pixel (normalised coordinates?)",
            f"all {len(boxes)} boxes lie within [0, 1], such as {boxes[0]}",
        )


def mask_faults(annotation: Mapping, image: Mapping, needs: Needs, name: str) -> Iterator[Fault]:
    """Of one annotation's ``segmentation``; it may be absent where no masks are needed."""
    segmentation = annotation.get("segmentation")
    if segmentation is None or segmentation == []:
        yield from _absence_faults(annotation, needs, name)
    elif isinstance(segmentation, dict):
        if needs.polygons and not annotation.get("iscrowd"):
            yield Fault("RLE masks need INPUT.MASK_FORMAT bitmask", name)
        yield from rle_faults(segmentation, image, name)
    elif isinstance(segmentation, list):
        yield from _polygon_faults(segmentation, name)
    else:
        yield Fault("segmentation is neither polygons nor RLE", f"{name}: {segmentation!r:.40}")


def _absence_faults(annotation: Mapping, needs: Needs, name: str) -> Iterator[Fault]:
    if needs.masks and not annotation.get("iscrowd"):
        yield Fault("annotation has no segmentation, but MODEL.MASK_ON is True", name)
    elif needs.masks is None and annotation.get("segmentation") is not None:
        yield Fault("segmentation is empty", name)


def _polygon_faults(polygons: list, name: str) -> Iterator[Fault]:
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            yield Fault("polygon has no three points", f"{name}: {polygon!r:.60}")
        elif not all(is_number(value) for value in polygon):
            yield Fault("polygon holds what is no finite number", f"{name}: {polygon!r:.60}")


def rle_faults(rle: Mapping, image: Mapping, name: str) -> Iterator[Fault]:
    """Of one run-length code, compressed or not, in its picture's size if that is known."""
    size, counts = rle.get("size"), rle.get("counts")
    if counts is None or not _is_size(size):
        yield Fault("RLE lacks size or counts", name)
        return
    if "height" in image and size != [image["height"], image.get("width")]:
        expected = [image["height"], image.get("width")]
        yield Fault("RLE has another size than its picture", f"{name}: {size} not {expected}")
        return
    try:
        runs = run_lengths(counts).tolist() if isinstance(counts, str) else counts
        is_whole = min(runs) >= 0 and sum(runs) == size[0] * size[1]
    except (TypeError, ValueError):
        yield Fault("RLE counts cannot be read", f"{name}: {counts!r:.40}")
        return
    if not is_whole:
        where = f"{name}: {counts!r:.40} for {size[0]} x {size[1]} pixels"
        yield Fault("RLE counts do not divide the mask", where)


def is_box(box: Any) -> bool:
    """Whether a value is a list of four finite numbers."""
    return isinstance(box, list) and len(box) == 4 and all(map(is_number, box))


def _is_size(size: Any) -> bool:
    return isinstance(size, list) and len(size) == 2 and all(isinstance(s, int) for s in size)
