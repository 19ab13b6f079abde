"""A small COCO-format data set: sparse ids, polygons, both kinds of RLE, crowds, empty pictures."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as mask_api

CATEGORY_IDS = (7, 90, 1003)
SIDE = 96
# Classes of each picture's objects; a minus sign marks a crowd of class |c| - 1.
PICTURES = ([0], [0, 1], [0, 0, 2], [], [0, 1], [0, -1], [0, 2], [0], [0, 1, 0], [], [0, -2, 1])
IMAGE_COUNT = (9, 4, 2)


def write_toy_coco(folder: Path, first_annotation_id: int = 1, complete: bool = True) -> Path:
    """Write pictures and ``annotations.json``; returns the folder.

    Without ``complete``, ``area`` and ``iscrowd`` are left out, which leaves no crowds.
    """
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number, classes in enumerate(PICTURES):
        image_id = 500 - 13 * number
        pixels = rng.integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8)
        for c in classes:
            crowd, class_id = c < 0, abs(c) - 1 if c < 0 else c
            if crowd and not complete:
                continue
            x, y = (int(v) for v in rng.integers(0, 30, 2))
            w, h = (int(v) for v in rng.integers(8, 60, 2))
            pixels[y : y + h, x : x + w] = 90 + 50 * class_id
            annotation = {
                "id": first_annotation_id + len(annotations),
                "image_id": image_id,
                "category_id": CATEGORY_IDS[class_id],
                "bbox": [x, y, w, h],
                "segmentation": _segmentation(x, y, w, h, "crowd" if crowd else len(annotations)),
            }
            if complete:
                annotation |= {"area": w * h, "iscrowd": int(crowd)}
            annotations.append(annotation)
        name = f"picture {number}.png"
        Image.fromarray(pixels).save(folder / "images" / name)
        images.append({"id": image_id, "file_name": name, "height": SIDE, "width": SIDE})
    categories = [{"id": i, "name": f"thing {i}"} for i in CATEGORY_IDS[::-1]]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def _segmentation(x: int, y: int, w: int, h: int, kind: int | str):
    """A polygon, compressed RLE and, for crowds as in COCO, uncompressed RLE by turns."""
    if kind != "crowd" and kind % 2:
        return [[x, y, x + w, y, x + w, y + h, x, y + h]]
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8, order="F")
    mask[y : y + h, x : x + w] = 1
    if kind == "crowd":
        flat = mask.ravel(order="F")
        starts = np.flatnonzero(np.diff(flat, prepend=0))
        return {"size": [SIDE, SIDE], "counts": np.diff([0, *starts, flat.size]).tolist()}
    rle = mask_api.encode(mask)
    return {"size": [SIDE, SIDE], "counts": rle["counts"].decode()}
