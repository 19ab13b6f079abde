"""Boundary AP: mask AP whose overlap also asks for the contour to be right."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
import pycocotools.mask as mask_utils

from lt_det.data.judgement.rle import run_lengths
from lt_det.evaluation.matching.overlaps import Overlaps
from lt_det.evaluation.matching.sides import Sides

__all__ = ["DEFAULT_DILATION", "Boundary", "boundary_iou", "boundary_overlaps"]

DEFAULT_DILATION = 0.02

# Boundaries of ground truths that are kept.
_KEPT = 1000
_NEIGHBOURS = np.ones((3, 3), dtype=np.uint8)


class Boundary(NamedTuple):
    """The pixels of a mask near its contour, inside the mask's box.

    Attributes:
        y: first row of the box in the image.
        x: first column.
        pixels: 1 on the boundary [h, w].
    """

    y: int
    x: int
    pixels: np.ndarray

    @classmethod
    def of(cls, rle: dict[str, Any], dilation: float) -> Boundary:
        """Those of a mask's pixels at most `dilation` image diagonals inside of its contour.

        The image's border is contour, too. The distance is rounded to pixels, at least 1, and
        measured along the axes (a square of 3 x 3, so many times), as in the released code; there
        the whole image is eroded, which gives the same pixels.
        """
        x, y, w, h = (int(v) for v in mask_utils.toBbox(rle))
        # Without a margin OpenCV would take what is outside as part of the mask.
        mask = np.zeros((h + 2, w + 2), dtype=np.uint8)
        mask[1:-1, 1:-1] = _columns(rle, x, w)[y : y + h]
        distance = max(1, round(dilation * np.hypot(*rle["size"])))
        inside = cv2.erode(mask, _NEIGHBOURS, iterations=distance)
        return cls(y, x, (mask - inside)[1:-1, 1:-1])

    def intersection(self, other: Boundary) -> int:
        """Number of pixels that both have."""
        top, left = max(self.y, other.y), max(self.x, other.x)
        a, b = (o.pixels[top - o.y :, left - o.x :] for o in (self, other))
        h, w = (min(sizes) for sizes in zip(a.shape, b.shape, strict=True))
        return np.count_nonzero(a[:h, :w] & b[:h, :w])


def _columns(rle: dict[str, Any], first: int, number: int) -> np.ndarray:
    """Some columns of a mask [H, number]; most of a picture is outside of most masks."""
    height, counts = rle["size"][0], rle["counts"]
    runs = run_lengths(counts.decode() if isinstance(counts, bytes) else counts)
    ends = np.clip(np.cumsum(runs) - first * height, 0, number * height)
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, np.diff(ends, prepend=0))
    return pixels.reshape(number, height).T


def boundary_iou(one: Boundary, other: Boundary) -> float:
    """Overlap of two boundaries of the same image."""
    common = one.intersection(other)
    return common / (np.count_nonzero(one.pixels) + np.count_nonzero(other.pixels) - common)


def boundary_overlaps(
    overlaps: Overlaps, sides: Sides, dilation: float = DEFAULT_DILATION
) -> Overlaps:
    """The smaller of mask IoU and boundary IoU: what boundary AP matches by.

    Boundary AP of Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation
    Evaluation", CVPR 2021, arXiv 2103.16562, as released (boundary-iou-api, 0.02 of the image
    diagonal for every data set). With crowd regions of COCO the mask's overlap alone counts, as
    there. The released LVIS code reads ``iscrowd`` of LVIS-format files too; this, like the LVIS
    API, does not.

    Args:
        overlaps: of masks; a boundary is only computed of those named here.
        sides: the masks.
        dilation: width of a boundary, as a share of the image's diagonal; positive.
    """
    rles, found = sides.truth.shapes("segm", sides.truth_positions), sides.columns.shapes
    # Detections come by pair, so the few objects of a pair are asked for again and again.
    of_truth = lru_cache(_KEPT)(lambda j: Boundary.of(rles[j], dilation))
    of_detection = lru_cache(1)(lambda i: Boundary.of(found("segm", slice(i, i + 1))[0], dilation))
    ious = overlaps.ious.copy()
    for n in np.flatnonzero(~sides.crowd[overlaps.truths]).tolist():
        i, j = overlaps.detections[n].item(), overlaps.truths[n].item()
        ious[n] = min(ious[n], boundary_iou(of_detection(i), of_truth(j)))
    return replace(overlaps, ious=ious)
