"""Judge boxes: x, y, width, height in pixels of their image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lt_det.data.judgement.findings import Findings
from lt_det.data.judgement.values import is_number

__all__ = ["SLACK", "find_other_units", "is_box", "judge_box"]

SLACK = 2.0
"""Pixels that a box may leave its image by without a note: boxes are rounded when written."""

# So many boxes must leave their images before all are suspected to be x1, y1, x2, y2.
_NUM_LEAVING, _SHARE_LEAVING = 5, 0.1


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
    has_area = (
        min(width, height) > 0
        and max(x, 0) < min(x + width, right)
        and max(y, 0) < min(y + height, bottom)
    )
    where = f"{name}: {box} in {right} x {bottom} pixels" if "width" in image else f"{name}: {box}"
    if not has_area:
        findings.note("object left out: its box has no area inside the image", where)
    elif "width" in image and (
        min(x, y) < -SLACK or x + width > right + SLACK or y + height > bottom + SLACK
    ):
        findings.note("bbox leaves the image: read as it is", where)
    return has_area


def find_other_units(boxes: np.ndarray, sizes: np.ndarray, findings: Findings) -> None:
    """Find files whose boxes as a whole are fractions of the image, or corners.

    Args:
        boxes: (N, 4) x, y, width, height; NaN where a box is not valid.
        sizes: (N, 2) width and height of their images; NaN where they are not known.
        findings: a fault is added here.
    """
    valid = np.isfinite(boxes).all(axis=1)
    boxes, sizes = boxes[valid], sizes[valid]
    if not len(boxes):
        return
    if boxes.min() >= 0 and boxes.max() <= 1:
        findings.fault(
            "bbox is below 1 pixel (normalised coordinates?)",
            f"all {len(boxes)} boxes lie within [0, 1], such as {boxes[0].tolist()}",
        )
        return
    leaves = (boxes[:, :2] + boxes[:, 2:] > sizes + SLACK).any(axis=1)
    if leaves.sum() < max(_NUM_LEAVING, _SHARE_LEAVING * len(boxes)):
        return
    if (boxes[:, 2:] > boxes[:, :2]).all() and not (boxes[:, 2:] > sizes + SLACK).any():
        findings.fault(
            "bbox leaves the image (x1, y1, x2, y2 instead of x, y, width, height?)",
            f"{leaves.sum()} of {len(boxes)} boxes do, and none does as x1, y1, x2, y2, such as "
            f"{boxes[leaves][0].tolist()}",
        )
