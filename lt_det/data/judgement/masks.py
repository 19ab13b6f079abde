"""Judge masks: polygons, and run-length codes compressed or not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lt_det.data.judgement.findings import LEFT_OUT, Findings
from lt_det.data.judgement.rle import run_lengths
from lt_det.data.judgement.values import MISSING, is_number, whole

__all__ = ["FARTHEST", "is_polygon", "is_size", "judge_mask", "judge_rle"]

FARTHEST = 1e6
"""Pixels. pycocotools needs memory in proportion to the length of a polygon's outline."""


def is_polygon(points: list) -> bool:
    """Tell whether numbers are x, y of three points or more, finite and near an image."""
    if len(points) < 6 or len(points) % 2:
        return False
    # Comparisons with NaN are False.
    return all(-FARTHEST <= value <= FARTHEST for value in points)


def _lies_outside(polygon: list, image: Mapping) -> bool:
    """Tell whether all of a polygon is on one side of its image; False where no size is known."""
    xs, ys = polygon[0::2], polygon[1::2]
    return (
        max(xs) <= 0
        or max(ys) <= 0
        or min(xs) >= image.get("width", math.inf)
        or min(ys) >= image.get("height", math.inf)
    )


def judge_mask(segmentation: Any, image: Mapping, name: str, findings: Findings) -> Any:
    """Judge the value of ``segmentation``.

    Args:
        segmentation: the value.
        image: its image; empty if that is unknown.
        name: of the annotation, for messages.
        findings: faults and notes are added here.

    Returns:
        Valid polygons or a valid run-length code; `MISSING` for an object without a mask; None for
        an object that is to be left out, or has a fault.
    """
    if segmentation is MISSING:
        return MISSING
    if segmentation is None or segmentation == []:
        findings.note("segmentation is empty: read as an object without a mask", name)
        return MISSING
    if isinstance(segmentation, dict):
        rle = judge_rle(segmentation, image, name, findings)
        if rle is not None and not _covers_a_pixel(rle["counts"]):
            findings.note(f"{LEFT_OUT}: its mask covers no pixel of the image", name)
            return None
        return rle
    if not isinstance(segmentation, list):
        where = f"{name}: {segmentation!r:.40}"
        findings.fault("segmentation is neither polygons nor RLE", where)
        return None
    polygons = _judge_polygons(segmentation, image, name, findings)
    if polygons and image and "width" not in image:
        findings.fault("image lacks height or width, which its polygons need", name)
        return None
    return polygons


def _judge_polygons(polygons: list, image: Mapping, name: str, findings: Findings) -> list | None:
    if not all(isinstance(polygon, list) for polygon in polygons):
        is_flat = not any(isinstance(polygon, list) for polygon in polygons)
        kind = "segmentation is a flat list" if is_flat else "polygon is no list"
        findings.fault(f"{kind}, expected a list of polygons", f"{name}: {polygons!r:.60}")
        return None
    bad = next((p for p in polygons if not all(map(_is_coordinate, p))), None)
    if bad is not None:
        findings.fault("polygon holds what is no number", f"{name}: {bad!r:.60}")
        return None
    valid = [p for p in polygons if is_polygon(p) and not _lies_outside(p, image)]
    if not valid:
        findings.note(
            f"{LEFT_OUT}: it has no valid polygon (three points or more, all finite, and not all "
            "outside the image)",
            f"{name}: {polygons!r:.60}",
        )
        return None
    if len(valid) < len(polygons):
        first = next(p for p in polygons if p not in valid)
        findings.note(
            "polygon left out: it has no three points, a number that is not finite, or is all "
            "outside the image",
            f"{name}: {first!r:.60}",
            len(polygons) - len(valid),
        )
        return valid
    return polygons


def _is_coordinate(value: Any) -> bool:
    """Tell whether a value is a number, finite or not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _covers_a_pixel(counts: str | list[int]) -> bool:
    """Tell whether the counts of a valid code have a run of pixels that are on."""
    return any((run_lengths(counts).tolist() if isinstance(counts, str) else counts)[1::2])


def judge_rle(rle: Mapping, image: Mapping, name: str, findings: Findings) -> Mapping | None:
    """Judge a run-length code, in its image's size if that is known; None for a fault."""
    size, counts = rle.get("size"), rle.get("counts")
    if counts is None or not is_size(size):
        findings.fault("RLE lacks size or counts", name)
        return None
    expected = [image.get("height"), image.get("width")]
    if all(map(is_number, expected)) and size != expected:
        where = f"{name}: {size} not {expected}"
        findings.fault("RLE has another size than its image", where)
        return None
    try:
        runs = run_lengths(counts).tolist() if isinstance(counts, str) else list(map(whole, counts))
        is_whole = min(runs) >= 0 and sum(runs) == math.prod(size)
    except (TypeError, ValueError):
        findings.fault("RLE counts cannot be read", f"{name}: {counts!r:.40}")
        return None
    if not is_whole:
        where = f"{name}: {counts!r:.40} for {size[0]} x {size[1]} pixels"
        findings.fault("RLE counts do not divide the mask", where)
        return None
    is_plain = all(type(s) is int for s in size) and (
        isinstance(counts, str) or all(type(c) is int for c in counts)
    )
    return rle if is_plain else rle | _plain_rle(size, counts, runs, name, findings)


def _plain_rle(size: list, counts: Any, runs: list, name: str, findings: Findings) -> dict:
    findings.note("RLE holds whole decimals: read as integers", name)
    return {
        "size": [int(s) for s in size],
        "counts": counts if isinstance(counts, str) else runs,
    }


def is_size(size: Any) -> bool:
    """Tell whether a value is a list of two whole numbers above 0, of an image that can be."""
    return (
        isinstance(size, list)
        and len(size) == 2
        and all(0 < (whole(s) or 0) <= FARTHEST for s in size)
    )
