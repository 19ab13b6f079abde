"""Judge boxes: x, y, width, height in pixels of their image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lt_det.data.judgement.findings import LEFT_OUT, Findings
from lt_det.data.judgement.values import is_number

__all__ = ["SLACK", "THINNEST", "find_corners", "find_other_units", "is_box", "judge_box"]

SLACK = 2.0
"""Pixels that a box may leave its image by without a note: boxes are rounded when written."""

THINNEST = 1e-3
"""Pixels. Detectron2's mapper drops thinner boxes, whose corners are equal in float32."""

# So many boxes must leave their images before all are suspected to be x1, y1, x2, y2.
_NUM_LEAVING, _SHARE_LEAVING = 3, 0.1
# Boxes that are compared with their polygons, and the share of them that must fit as corners.
_NUM_COMPARED, _SHARE_FITTING = 200, 0.8
_CORNERS = "bbox is not x, y, width, height (x1, y1, x2, y2?)"


def is_box(box: Any) -> bool:
    """Tell whether a value is a list of four finite numbers."""
    return isinstance(box, list) and len(box) == 4 and all(map(is_number, box))


def judge_box(box: Any, image: Mapping, name: str, findings: Findings) -> bool:
    """Judge a box; returns whether the object stays in the file.

    Args:
        box: value of ``bbox``.
        image: its image; without a size, every box with an area stays.
        name: of the annotation, for messages.
        findings: faults and notes are added here.
    """
    if not is_box(box):
        findings.fault("bbox is no list of four finite numbers", f"{name}: {box!r:.80}")
        return False
    x, y, width, height = box
    right, bottom = image.get("width", np.inf), image.get("height", np.inf)
    has_area = max(x, 0) + THINNEST < min(x + width, right) and max(y, 0) + THINNEST < min(
        y + height, bottom
    )
    where = f"{name}: {box} in {right} x {bottom} pixels" if "width" in image else f"{name}: {box}"
    if not has_area:
        findings.note(f"{LEFT_OUT}: its box has no area inside the image", where)
    elif "width" in image and (
        min(x, y) < -SLACK or x + width > right + SLACK or y + height > bottom + SLACK
    ):
        findings.note("bbox leaves the image: read as it is", where)
    return has_area


def find_other_units(boxes: np.ndarray, sizes: np.ndarray, findings: Findings) -> bool:
    """Find files whose boxes as a whole are fractions of the image, or corners.

    Args:
        boxes: (N, 4) x, y, width, height; NaN where a box is not valid.
        sizes: (N, 2) width and height of their images; NaN where they are not known.
        findings: a fault is added here.

    Returns:
        Whether there is a fault.
    """
    valid = np.isfinite(boxes).all(axis=1)
    boxes, sizes = boxes[valid], sizes[valid]
    if not len(boxes):
        return False
    # Whole numbers are corners of pixels.
    if boxes.min() >= 0 and boxes.max() <= 1 and (boxes % 1).any():
        findings.fault(
            "bbox is below 1 pixel (normalised coordinates?)",
            f"all {len(boxes)} boxes lie within [0, 1], such as {boxes[0].tolist()}",
        )
        return True
    leaves = (boxes[:, :2] + boxes[:, 2:] > sizes + SLACK).any(axis=1)
    are_corners = (boxes[:, 2:] > boxes[:, :2]).all() and not (boxes[:, 2:] > sizes + SLACK).any()
    if not are_corners or leaves.sum() < max(_NUM_LEAVING, _SHARE_LEAVING * len(boxes)):
        return False
    findings.fault(
        _CORNERS,
        f"{leaves.sum()} of {len(boxes)} boxes leave their image, and none does as x1, y1, x2, y2, "
        f"such as {boxes[leaves][0].tolist()}",
    )
    return True


def find_corners(annotations: Sequence[Mapping], findings: Findings) -> None:
    """Find files whose boxes fit their polygons as corners and not as x, y, width, height.

    Args:
        annotations: of which some, spread over the file, are looked at.
        findings: a fault is added here.
    """
    chosen = annotations[:: max(1, len(annotations) // _NUM_COMPARED)]
    fits = [f for a in chosen if (f := _fits_polygons(a)) is not None]
    num_corners = sum(as_corners and not as_size for as_size, as_corners in fits)
    if num_corners >= max(_NUM_LEAVING, _SHARE_FITTING * len(fits)):
        findings.fault(
            _CORNERS,
            f"{num_corners} of {len(fits)} boxes that were compared with their polygons fit them "
            "as x1, y1, x2, y2 alone",
        )


def _fits_polygons(annotation: Mapping) -> tuple[bool, bool] | None:
    """Tell whether a box ends where its polygons do, as x, y, width, height and as corners."""
    box, polygons = annotation.get("bbox"), annotation.get("segmentation")
    if not is_box(box) or not isinstance(polygons, list) or not polygons:
        return None
    if not all(isinstance(p, list) and all(map(is_number, p)) for p in polygons):
        return None
    xs, ys = ([v for p in polygons for v in p[start::2]] for start in (0, 1))
    if not xs or not ys:
        return None
    x, y, width, height = box
    ends = max(xs), max(ys)
    readings = (x + width, y + height), (width, height)
    return tuple(max(abs(a - b) for a, b in zip(r, ends, strict=True)) <= SLACK for r in readings)
