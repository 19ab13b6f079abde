"""Records of Detectron2's format at random, with everything that a loader may return."""

import random

from detectron2.structures import BoxMode


def random_records(rng: random.Random, number: int, num_classes: int = 6) -> list[dict]:
    """Objects with polygons of ints and floats, RLE of both kinds, no mask, crowds or none."""
    return [_record(rng, index, num_classes) for index in range(number)]


def _record(rng: random.Random, index: int, num_classes: int) -> dict:
    return {
        "file_name": f"root/{index}.jpg",
        "image_id": rng.choice((index, f"{index}")),
        "height": rng.randrange(1, 700),
        "width": rng.choice((640, rng.randrange(1, 700), 99.5)),
        "annotations": [_object(rng, num_classes) for _ in range(rng.choice((0, 1, 2, 9)))],
        "neg_category_ids": [rng.randrange(num_classes) for _ in range(rng.randrange(3))],
    }


def _object(rng: random.Random, num_classes: int) -> dict:
    annotation = {
        "bbox": _numbers(rng, 4),
        "bbox_mode": BoxMode.XYWH_ABS,
        "category_id": rng.randrange(num_classes),
    }
    if rng.random() < 0.5:
        annotation["iscrowd"] = rng.choice((0, 1, True))
    mask = rng.randrange(5)
    if mask < 2:
        polygons = rng.randrange(1, 4)
        annotation["segmentation"] = [
            _numbers(rng, 2 * rng.randrange(3, 8)) for _ in range(polygons)
        ]
    elif mask < 4:
        counts = rng.choice(("ab1", b"ab1", [3, 6]))
        annotation["segmentation"] = {"size": [3, 3], "counts": counts}
    return annotation


def _numbers(rng: random.Random, number: int) -> list:
    draws = (rng.randrange(640), round(rng.uniform(0, 640), 2), rng.uniform(0, 640), 0.0)
    if rng.random() < 0.5:
        return [round(rng.uniform(0, 640), 2) for _ in range(number)]
    return [rng.choice(draws) for _ in range(number)]
