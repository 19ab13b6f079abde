"""Detections of any framework from a results file, in the format that LVIS and COCO share.

A JSON list with one entry a detection: ``image_id``, ``category_id``, ``score``, and ``bbox`` (x,
y, width, height in pixels), ``segmentation`` (run-length code) or both. All of it is checked first,
because the official APIs stop at the first fault, or take it for a number.
"""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_utils

from lt_det.data.fault import Fault, is_id, is_number, refuse_faults
from lt_det.data.json_file import load_json
from lt_det.data.object_faults import is_box, rle_faults
from lt_det.evaluation.detections import ImageDetections

__all__ = ["read_results_file"]

logger = logging.getLogger(__name__)

_OBJECT_KEYS = ("bbox", "segmentation")
# Not every framework clips its boxes. More of them outside than this share are x1, y1, x2, y2.
_MOST_OUTSIDE = 0.1
_SLACK = 2.0


def read_results_file(
    path: str | os.PathLike,
    image_sizes: Mapping[Any, tuple[int, int]],
    class_of: Mapping[Any, int],
) -> list[ImageDetections]:
    """Read and check a results file.

    Args:
        path: JSON list of detections. Numbers are kept as they are written, in float64.
        image_sizes: height, width of each image of the ground truth, by its id.
        class_of: category id -> contiguous class.

    Returns:
        The detections of each image of the ground truth, in its order and the file's; of an image
        that the file does not name, none.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no JSON list; or with a table of everything that is wrong with its
            entries: unknown images and categories, scores and boxes that are not finite numbers,
            boxes of negative size, masks that cannot be read or have not their image's size,
            masks or boxes of some entries only. Entry 0 is the first.
    """
    entries = _load_entries(path)
    given = _given_keys(entries)
    refuse_faults(_find_faults(entries, given, image_sizes, class_of), path)
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


def _given_keys(entries: Sequence) -> tuple[str, ...]:
    """Boxes, masks or both: what any entry has, all must have."""
    given = (k for k in _OBJECT_KEYS if any(isinstance(e, dict) and _has(e, k) for e in entries))
    return tuple(given) or _OBJECT_KEYS[:1]


def _has(entry: Mapping, key: str) -> bool:
    """An empty list stands for no box, or no mask."""
    return entry.get(key) not in (None, [])


def _find_faults(
    entries: Sequence,
    given: Sequence[str],
    image_sizes: Mapping[Any, tuple[int, int]],
    class_of: Mapping[Any, int],
) -> Iterator[Fault]:
    for number, entry in enumerate(entries):
        name = f"entry {number}"
        if not isinstance(entry, dict):
            yield Fault("entry is no dictionary", f"{name}: {entry!r:.60}")
            continue
        yield from _missing_faults(entry, given, name)
        for key, known in (("image_id", image_sizes), ("category_id", class_of)):
            if _has(entry, key) and not (is_id(entry[key]) and entry[key] in known):
                expected = f"expected one of {len(known)}, such as {next(iter(known), None)!r}"
                where = f"{name}: {entry[key]!r:.40} ({expected})"
                yield Fault(f"{key} is not in the ground truth", where)
        if _has(entry, "score") and not is_number(entry["score"]):
            yield Fault("score is no finite number", f"{name}: {entry['score']!r:.40}")
        if _has(entry, "bbox"):
            yield from _box_faults(entry["bbox"], name)
        if _has(entry, "segmentation"):
            image_id = entry.get("image_id")
            size = image_sizes.get(image_id) if is_id(image_id) else None
            yield from _mask_faults(entry["segmentation"], size, name)


def _missing_faults(entry: Mapping, given: Sequence[str], name: str) -> Iterator[Fault]:
    for key in ("image_id", "category_id", "score"):
        if not _has(entry, key):
            yield Fault(f"entry lacks {key}", name)
    for key in given:
        if not _has(entry, key):
            yield Fault(f"entry lacks {key} (bbox, segmentation or both, but all alike)", name)


def _box_faults(box: Any, name: str) -> Iterator[Fault]:
    """A box without area is none: the APIs have a rule for it."""
    if not is_box(box):
        yield Fault("bbox is no list of four finite numbers", f"{name}: {box!r:.80}")
    elif box[2] < 0 or box[3] < 0:
        yield Fault("bbox has negative size, expected x, y, width, height", f"{name}: {box}")


def _mask_faults(rle: Any, size: tuple[int, int] | None, name: str) -> Iterator[Fault]:
    if not isinstance(rle, dict):
        yield Fault("segmentation is no RLE of size and counts", f"{name}: {rle!r:.40}")
        return
    image = {} if size is None else {"height": size[0], "width": size[1]}
    yield from rle_faults(rle, image, name)


def _columns(
    image_id: Any,
    size: tuple[int, int],
    entries: Sequence[Mapping],
    given: Sequence[str],
    class_of: Mapping[Any, int],
) -> ImageDetections:
    boxes, rles = None, None
    if "bbox" in given:
        boxes = np.array([e["bbox"] for e in entries], dtype=np.float64).reshape(-1, 4)
    if "segmentation" in given:
        rles = [_compressed(e["segmentation"]) for e in entries]
    return ImageDetections(
        image_id,
        size,
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
    for d in detections:
        height, width = d.image_size
        ends = d.boxes[:, :2] + d.boxes[:, 2:]
        outside += np.count_nonzero((ends > np.array([width, height]) + _SLACK).any(axis=1))
        total += len(ends)
    if outside > _MOST_OUTSIDE * total:
        logger.warning(
            f"'{path}': {outside} of {total} boxes end outside of their picture. Boxes must be x, "
            "y, width, height in pixels of the original picture, not x1, y1, x2, y2."
        )
