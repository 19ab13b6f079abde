"""An annotation file of the shape of LVIS v1's training set, which cannot be downloaded everywhere.

Its classes occur in as many pictures as in LVIS, relative to the number of pictures (Detectron2's
``LVIS_CATEGORY_IMAGE_COUNT``); the number of objects of a class in a picture is geometric, and so
are the vertices of a polygon, with the means of LVIS. Text looks as LVIS's: two decimals, a blank
after each comma.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
from detectron2.data.datasets.lvis_v1_categories import LVIS_CATEGORIES
from detectron2.data.datasets.lvis_v1_category_image_count import LVIS_CATEGORY_IMAGE_COUNT

__all__ = ["NUM_IMAGES", "write_lvis_shaped"]

# LVIS v1's training set. Its annotations have 847 bytes each, which 44 vertices make.
NUM_IMAGES, NUM_INSTANCES = 100_170, 1_270_141
MEAN_VERTICES, MIN_VERTICES = 44, 3
# One object in so many is drawn as two polygons.
TWO_POLYGONS = 6


def write_lvis_shaped(path: str | os.PathLike, num_images: int = NUM_IMAGES, seed: int = 0) -> None:
    """Write the file, picture by picture.

    Args:
        path: the file.
        num_images: pictures; each has 12.7 objects on average.
        seed: equal seeds write equal files.
    """
    rng = np.random.default_rng(seed)
    counts = [c["image_count"] for c in sorted(LVIS_CATEGORY_IMAGE_COUNT, key=lambda c: c["id"])]
    classes = _classes_of_pictures(np.array(counts), num_images, rng)
    sizes = rng.integers(400, 641, (num_images, 2)).tolist()
    with Path(path).open("wb") as file:
        file.write(b'{"annotations": [')
        _write_elements(file, _annotations(classes, sizes, NUM_INSTANCES / sum(counts), rng))
        file.write(b'], "images": [')
        _write_elements(file, _images(sizes, classes, rng))
        file.write(b'], "categories": %s}' % json.dumps(LVIS_CATEGORIES).encode())


def _classes_of_pictures(
    counts: np.ndarray, num_images: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Category ids of each picture: every class in its share of the pictures, once at least."""
    numbers = np.maximum(1, np.round(counts * (num_images / NUM_IMAGES))).astype(np.int64)
    numbers = np.minimum(numbers, num_images)
    images = np.concatenate([rng.choice(num_images, number, replace=False) for number in numbers])
    ids = np.repeat(np.arange(1, len(counts) + 1), numbers)
    order = np.argsort(images, kind="stable")
    ends = np.bincount(images, minlength=num_images).cumsum()[:-1]
    return np.split(ids[order], ends)


def _annotations(classes, sizes, objects_a_class: float, rng) -> Iterator[dict]:
    number = 0
    for index, ids in enumerate(classes):
        ids = np.repeat(ids, rng.geometric(1 / objects_a_class, len(ids))).tolist()
        boxes, areas, polygons = _objects(len(ids), sizes[index], rng)
        for category_id, box, area, numbers in zip(ids, boxes, areas, polygons, strict=True):
            number += 1
            two = len(numbers) >= 2 * 2 * MIN_VERTICES and number % TWO_POLYGONS == 0
            yield {
                "area": area,
                "id": number,
                "segmentation": [numbers[:6], numbers[6:]] if two else [numbers],
                "image_id": index + 1,
                "bbox": box,
                "category_id": category_id,
            }


def _objects(number: int, size, rng) -> tuple[list, list, list]:
    """Boxes, areas and vertices of a picture's objects, somewhere within ``size``."""
    low, high = np.sort(rng.random((2, number, 2)), axis=0) * size[::-1]
    extent = np.maximum(high - low, 1)
    points = MIN_VERTICES - 1 + rng.geometric(1 / (MEAN_VERTICES - MIN_VERTICES + 1), number)
    vertices = np.repeat(low, points, axis=0)
    vertices += np.repeat(extent, points, axis=0) * rng.random(vertices.shape)
    flat, ends = vertices.round(2).ravel().tolist(), (2 * points.cumsum()).tolist()
    polygons = [flat[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    boxes = np.concatenate([low, extent], axis=1).round(2).tolist()
    return boxes, (extent.prod(axis=1) / 2).round(2).tolist(), polygons


def _images(sizes, classes, rng) -> Iterator[dict]:
    for index, (height, width) in enumerate(sizes):
        image_id = index + 1
        present = classes[index].tolist()
        absent = set(rng.integers(1, len(LVIS_CATEGORIES) + 1, 8).tolist()).difference(present)
        yield {
            "date_captured": "2013-11-14 17:02:52",
            "neg_category_ids": sorted(absent),
            "id": image_id,
            "license": 4,
            "height": height,
            "width": width,
            "flickr_url": f"http://farm9.staticflickr.com/{image_id:04}/{image_id:010}_z.jpg",
            "coco_url": f"http://images.cocodataset.org/train2017/{image_id:012}.jpg",
            "not_exhaustive_category_ids": present[:1] if index % 4 == 0 else [],
        }


def _write_elements(file: BinaryIO, elements: Iterator[dict]) -> None:
    for number, element in enumerate(elements):
        # With LVIS's blanks; no text within has such a place.
        text = msgspec.json.encode(element).replace(b",", b", ").replace(b'":', b'": ')
        file.write((b", " if number else b"") + text)
