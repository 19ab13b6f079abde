"""Small annotation files that nobody could misread, drawn from a seed.

Nothing here uses lt_det: these files are the truth that lt_det is held to.
"""

import random
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as mask_api

# (height, width) of the images that all files share; no side is square.
SIZES = ((40, 56), (64, 48), (33, 70), (52, 45), (72, 36))
_NAMES = ("café", "crème", "naïve bee", "δ-ray", "plum", "oak")
# Category ids are sparse and the file lists them in no order.
_CATEGORY_IDS = (3, 9, 10, 44, 512, 7001)


def image_name(number: int) -> str:
    """The file name of a shared image; each lies there under its COCO 2014 name, too."""
    return f"{100 + number:012d}.png"


def coco_2014_name(number: int) -> str:
    return f"COCO_train2014_{image_name(number)}"


def write_images(folder: Path) -> Path:
    """Write the images that all files share."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for number, size in enumerate(SIZES):
        pixels = Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8))
        for name in (image_name(number), coco_2014_name(number)):
            pixels.save(folder / name)
    return folder


def clean_content(rng: random.Random, data_format: str) -> dict:
    """A COCO- or LVIS-format file with a tail, an empty image, crowds (COCO) and lists (LVIS).

    All objects have a mask, none has, or some have: polygons, several polygons, and RLE of both
    kinds. Areas are not what the masks or boxes would give, so that one shows which was taken.
    """
    num_classes = rng.randint(3, 6)
    ids = sorted(rng.sample(_CATEGORY_IDS, num_classes))
    categories = [{"id": i, "name": name} for i, name in zip(ids, _NAMES, strict=False)]
    images = [
        {"id": 700 - 13 * n, "file_name": image_name(n), "height": h, "width": w}
        for n, (h, w) in enumerate(SIZES)
    ]
    masks = rng.choice(("all", "all", "none", "some"))
    annotations = []
    empty = rng.randrange(len(images))
    for number, image in enumerate(images):
        classes = [] if number == empty else _classes_of_image(rng, num_classes)
        for c in classes:
            has_mask = masks == "all" or (masks == "some" and rng.random() < 0.6)
            annotations.append(_object(rng, image, ids[c], has_mask))
    if data_format == "coco":
        for annotation in annotations:
            annotation["iscrowd"] = int(rng.random() < 0.1)
        annotations[0]["iscrowd"] = 0
    else:
        _add_lvis(rng, images, categories, annotations)
    rng.shuffle(annotations)
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = 10 * number
    return {
        "images": images,
        "annotations": annotations,
        "categories": rng.sample(categories, num_classes),
    }


def mask_of(segmentation: list | dict, size: tuple[int, int]) -> dict:
    """The compressed RLE of polygons or of RLE of either kind, by pycocotools."""
    if isinstance(segmentation, list):
        return mask_api.merge(mask_api.frPyObjects(segmentation, *size))
    if isinstance(segmentation["counts"], list):
        return mask_api.frPyObjects(segmentation, *size)
    return segmentation


def area_of(annotation: dict, image: dict) -> float:
    """The area that a file leaves out: the mask's pixels, or the box's without a mask."""
    if annotation.get("segmentation"):
        rle = mask_of(annotation["segmentation"], (image["height"], image["width"]))
        return float(mask_api.area(rle))
    return float(annotation["bbox"][2] * annotation["bbox"][3])


def rectangle_rle(box: list, size: tuple[int, int], compressed: bool) -> dict:
    """The mask of a box of whole numbers."""
    x, y, w, h = box
    pixels = np.zeros(size, dtype=np.uint8, order="F")
    pixels[y : y + h, x : x + w] = 1
    if compressed:
        rle = mask_api.encode(pixels)
        return {"size": list(size), "counts": rle["counts"].decode()}
    column = pixels.ravel(order="F")
    changes = np.flatnonzero(np.diff(column)) + 1
    counts = np.diff([0, *changes, len(column)]).tolist()
    return {"size": list(size), "counts": counts if not column[0] else [0, *counts]}


def encode_empty(height: int, width: int) -> str:
    """The compressed counts of a mask without a pixel."""
    return mask_api.encode(np.zeros((height, width), np.uint8, order="F"))["counts"].decode()


def _classes_of_image(rng: random.Random, num_classes: int) -> list[int]:
    weights = [0.5**c for c in range(num_classes)]
    return rng.choices(range(num_classes), weights, k=rng.randint(1, 4))


def _object(rng: random.Random, image: dict, category_id: int, has_mask: bool) -> dict:
    height, width = image["height"], image["width"]
    w, h = rng.randint(8, width - 4), rng.randint(8, height - 4)
    box = [rng.randint(1, width - w - 1), rng.randint(1, height - h - 1), w, h]
    annotation = {
        "image_id": image["id"],
        "category_id": category_id,
        "bbox": box,
        "area": round(w * h * rng.uniform(0.5, 0.9), 2),
    }
    if has_mask:
        annotation["segmentation"] = _segmentation(rng, box, (height, width))
    return annotation


def _segmentation(rng: random.Random, box: list, size: tuple[int, int]) -> list | dict:
    x, y, w, h = box
    kind = rng.choice(("polygon", "polygon", "polygons", "rle", "counts"))
    if kind in ("rle", "counts"):
        return rectangle_rle(box, size, compressed=kind == "rle")
    whole = [x, y, x + w, y, x + w, y + h - 0.5, x + 0.25, y + h]
    return [whole] if kind == "polygon" else [whole, [x, y, x + 5, y, x, y + 6]]


def _add_lvis(rng: random.Random, images: list, categories: list, annotations: list) -> None:
    for position, category in enumerate(categories):
        category["frequency"] = "fccrrr"[position]
    for image in images:
        present = {a["category_id"] for a in annotations if a["image_id"] == image["id"]}
        absent = [c["id"] for c in categories if c["id"] not in present]
        image["neg_category_ids"] = [c for c in absent if rng.random() < 0.5]
        image["not_exhaustive_category_ids"] = [c for c in present if rng.random() < 0.2]
