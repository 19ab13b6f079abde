"""Boundary AP: mask AP whose overlap also asks for the contour to be right."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
import pycocotools.mask as mask_utils

from lt_det.evaluation.group_metrics import IOU_THRESHOLDS, Evaluation
from lt_det.evaluation.matching import evaluate_overlaps
from lt_det.evaluation.problem import Problem

__all__ = ["DEFAULT_DILATION", "boundary_iou", "evaluate_boundary"]

DEFAULT_DILATION = 0.02

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
        mask = mask_utils.decode([rle])[y : y + h, x : x + w, 0]
        distance = max(1, round(dilation * np.hypot(*rle["size"])))
        # Without a margin OpenCV would take what is outside as part of the mask.
        padded = np.pad(mask, 1)
        inside = cv2.erode(padded, _NEIGHBOURS, iterations=distance)
        return cls(y, x, mask - inside[1:-1, 1:-1])

    def intersection(self, other: Boundary) -> int:
        """Number of pixels that both have."""
        top, left = max(self.y, other.y), max(self.x, other.x)
        a, b = (o.pixels[top - o.y :, left - o.x :] for o in (self, other))
        h, w = (min(sizes) for sizes in zip(a.shape, b.shape, strict=True))
        return np.count_nonzero(a[:h, :w] & b[:h, :w])


def boundary_iou(one: Boundary, other: Boundary) -> float:
    """Overlap of two boundaries of the same image."""
    common = one.intersection(other)
    return common / (np.count_nonzero(one.pixels) + np.count_nonzero(other.pixels) - common)


def evaluate_boundary(problem: Problem, dilation: float = DEFAULT_DILATION) -> Evaluation:
    """Evaluate masks by the smaller of mask IoU and boundary IoU.

    Boundary AP of Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation
    Evaluation", CVPR 2021, arXiv 2103.16562, as released (boundary-iou-api, 0.02 of the image
    diagonal for every data set). With crowd regions the mask's overlap alone counts, as there.
    Where the released LVIS code differs from the LVIS API, this is the API: an area on the border
    of two area ranges is in both, and ``iscrowd`` is not read.

    A boundary is only computed of masks that overlap by 0.5 or more: no other pair can match.

    Args:
        problem: of task ``"segm"``.
        dilation: width of a boundary, as a share of the image's diagonal; positive.

    Returns:
        The API's arrays, see `evaluate_overlaps`.
    """

    def overlaps(problem: Problem, dets: slice, gts: slice) -> np.ndarray:
        found, truth = (np.arange(s.start, s.stop) for s in (dets, gts))
        ious = problem.overlaps(found, truth)
        near = (ious >= IOU_THRESHOLDS[0]) & ~problem.truth.crowd[truth]
        rows, columns = (np.flatnonzero(near.any(axis=axis)) for axis in (1, 0))
        of_found, of_truth = (
            {i: Boundary.of(rle, dilation) for i, rle in zip(places, shapes, strict=True)}
            for places, shapes in (
                (rows.tolist(), problem.found_shapes(found[rows])),
                (columns.tolist(), problem.truth_shapes(truth[columns])),
            )
        )
        for i, j in np.argwhere(near).tolist():
            ious[i, j] = min(ious[i, j], boundary_iou(of_found[i], of_truth[j]))
        return ious

    return evaluate_overlaps(problem, overlaps)
