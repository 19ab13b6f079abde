"""Detections of any framework from a results file, in the format that LVIS and COCO share.

A JSON list with one entry a detection: ``image_id``, ``category_id``, ``score``, and ``bbox`` (x,
y, width, height in pixels), ``segmentation`` (run-length code) or both. All of it is checked first,
because the official APIs stop at the first fault, or take it for a number.
"""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_utils

from lt_det.data.judgement.fault import refuse_faults
from lt_det.data.judgement.values import whole
from lt_det.evaluation.files.results_faults import find_result_faults, object_keys
from lt_det.evaluation.matching.detections import ImageDetections
from lt_det.utils.json_file import load_json

__all__ = ["read_results_file"]

logger = logging.getLogger(__name__)

# Not every framework clips its boxes. More of them outside than this share are x1, y1, x2, y2.
_MOST_OUTSIDE = 0.1
_SLACK = 2.0
_NO_SIZE = (0, 0)
_ID_KEYS = ("image_id", "category_id")


def read_results_file(
    path: str | os.PathLike,
    image_sizes: Mapping[Any, tuple[int, int] | None],
    class_of: Mapping[Any, int],
) -> list[ImageDetections]:
    """Read and check a results file.

    Args:
        path: JSON list of detections. Numbers are kept as they are written, in float64.
        image_sizes: height, width of each image of the ground truth, by its id; None where the
            file does not say.
        class_of: category id -> contiguous class.

    Returns:
        The detections of each image of the ground truth, in its order and the file's; of an image
        that the file does not name, none.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no JSON list; or with a table of everything that is wrong with its
            entries (see `find_result_faults`).
    """
    entries = _with_whole_ids(_load_entries(path), path)
    refuse_faults(find_result_faults(entries, image_sizes, class_of), path)
    given = object_keys(entries)
    of_image = defaultdict(list)
    for entry in entries:
        of_image[entry["image_id"]].append(entry)
    detections = [
        _columns(image_id, size, of_image.get(image_id, ()), given, class_of)
        for image_id, size in image_sizes.items()
    ]
    if "bbox" in given and entries:
        _warn_of_corners(detections, path)
    logger.info(
        f"'{path}': {len(entries)} detections on {len(of_image)} of {len(detections)} images."
    )
    return detections


def _load_entries(path: str | os.PathLike) -> list:
    try:
        entries = load_json(path)
    except (FileNotFoundError, IsADirectoryError):
        raise FileNotFoundError(
            f"Results file not found: {path}. Give a JSON file of detections in the results "
            "format of LVIS or COCO."
        ) from None
    if not isinstance(entries, list):
        raise ValueError(
            f"{path} holds a {type(entries).__name__}, expected a list of detections, each with "
            "image_id, category_id, score, and bbox, segmentation or both."
        )
    return entries


def _with_whole_ids(entries: list, path: str | os.PathLike) -> list:
    """Read ids that are whole decimals, such as 1.0, as integers: as in annotation files."""
    odd = [
        isinstance(e, dict) and any(isinstance(e.get(key), float) for key in _ID_KEYS)
        for e in entries
    ]
    if not any(odd):
        return entries
    logger.warning(f"'{path}': ids of {sum(odd)} entries are decimals: whole ones are integers.")
    return [_with_ids(e) if is_odd else e for e, is_odd in zip(entries, odd, strict=True)]


def _with_ids(entry: dict) -> dict:
    read = {key: whole(entry[key]) for key in _ID_KEYS if isinstance(entry.get(key), float)}
    return entry | {key: value for key, value in read.items() if value is not None}


def _columns(
    image_id: Any,
    size: tuple[int, int] | None,
    entries: Sequence[Mapping],
    given: Sequence[str],
    class_of: Mapping[Any, int],
) -> ImageDetections:
    boxes, rles = None, None
    if "bbox" in given:
        boxes = np.array([e["bbox"] for e in entries], dtype=np.float64).reshape(-1, 4)
    if "segmentation" in given:
        rles = [_compressed(e["segmentation"]) for e in entries]
        size = size or next((tuple(e["segmentation"]["size"]) for e in entries), None)
    return ImageDetections(
        image_id,
        size or _NO_SIZE,
        np.array([class_of[e["category_id"]] for e in entries], dtype=np.int32),
        np.array([e["score"] for e in entries], dtype=np.float64),
        boxes,
        rles,
    )


def _compressed(rle: Mapping) -> bytes:
    if isinstance(rle["counts"], list):
        return mask_utils.frPyObjects(rle, *rle["size"])["counts"]
    return rle["counts"].encode("ascii")


def _warn_of_corners(detections: Sequence[ImageDetections], path: str | os.PathLike) -> None:
    outside = total = 0
    for d in (d for d in detections if d.image_size != _NO_SIZE):
        height, width = d.image_size
        ends = d.boxes[:, :2] + d.boxes[:, 2:]
        outside += np.count_nonzero((ends > np.array([width, height]) + _SLACK).any(axis=1))
        total += len(ends)
    if outside > _MOST_OUTSIDE * total:
        logger.warning(
            f"'{path}': {outside} of {total} boxes end outside of their image. Boxes must be x, "
            "y, width, height in pixels of the original image, not x1, y1, x2, y2."
        )
