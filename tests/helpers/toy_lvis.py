"""Small LVIS-format data sets and detections for tests."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from detectron2.structures import Boxes, Instances

# Boxes (x, y, w, h) that do not overlap.
A, B, ELSEWHERE = (10, 10, 20, 20), (50, 50, 40, 30), (0, 80, 10, 10)


class ToyLVIS:
    """Builds an LVIS annotation file of rectangles.

    Args:
        frequencies: one letter of "rcf" per category; category ids count from 1.
    """

    def __init__(self, frequencies: str):
        self.images = {}
        self.annotations = []
        self.categories = [
            {"id": i, "name": f"class{i}", "frequency": f} for i, f in enumerate(frequencies, 1)
        ]

    def image(
        self,
        image_id: int,
        height: int = 100,
        width: int = 100,
        negative: Iterable[int] = (),
        not_exhaustive: Iterable[int] = (),
    ) -> None:
        self.images[image_id] = {
            "id": image_id,
            "file_name": f"{image_id}.jpg",
            "height": height,
            "width": width,
            "neg_category_ids": list(negative),
            "not_exhaustive_category_ids": list(not_exhaustive),
        }

    def box(self, image_id: int, category_id: int, xywh: Iterable[float]) -> None:
        x, y, w, h = map(float, xywh)
        self.annotations.append(
            {
                "id": len(self.annotations) + 1,
                "image_id": image_id,
                "category_id": category_id,
                "bbox": [x, y, w, h],
                "area": w * h,
                "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
            }
        )

    @property
    def dataset(self) -> dict:
        return {
            "images": list(self.images.values()),
            "categories": self.categories,
            "annotations": self.annotations,
        }

    def write(self, path: Path) -> str:
        path.write_text(json.dumps(self.dataset))
        return str(path)


def make_instances(
    detections: Iterable[tuple], size: tuple[int, int] = (100, 100), masks: bool = True
) -> Instances:
    """Instances of one image from (class, score, xywh) with integer boxes; masks fill them."""
    detections = list(detections)
    xywh = torch.tensor([d[2] for d in detections], dtype=torch.float32).reshape(-1, 4)
    instances = Instances(size)
    instances.pred_boxes = Boxes(torch.cat([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], dim=1))
    instances.scores = torch.tensor([float(d[1]) for d in detections])
    instances.pred_classes = torch.tensor([d[0] for d in detections], dtype=torch.int64)
    if masks:
        filled = torch.zeros(len(detections), *size, dtype=torch.bool)
        for mask, (x, y, w, h) in zip(filled, xywh.int().tolist(), strict=True):
            mask[y : y + h, x : x + w] = True
        instances.pred_masks = filled
    return instances


def random_set(
    seed: int, num_images: int = 12, frequencies: str = "rrccf"
) -> tuple[ToyLVIS, list[dict]]:
    """A set with absent, negative and not exhaustively annotated classes, and LVIS box results.

    Scores are all different, so that the order of detections is never a matter of ties.
    """
    rng = np.random.default_rng(seed)
    num_classes = len(frequencies)
    toy, results = ToyLVIS(frequencies), []
    for image_id in range(1, num_images + 1):
        flags = rng.random((2, num_classes)) < 0.4
        negative, not_exhaustive = (np.flatnonzero(f) + 1 for f in flags)
        toy.image(image_id, negative=negative.tolist(), not_exhaustive=not_exhaustive.tolist())
        for _ in range(rng.integers(0, 6)):
            box = [*rng.integers(0, 50, 2).tolist(), *rng.integers(5, 50, 2).tolist()]
            category_id = int(rng.integers(1, num_classes + 1))
            toy.box(image_id, category_id, box)
            jittered = (np.array(box) + rng.normal(0, 2, 4)).tolist()
            results.append((image_id, category_id, jittered))
        for _ in range(rng.integers(0, 6)):
            box = [*rng.uniform(0, 50, 2).tolist(), *rng.uniform(5, 50, 2).tolist()]
            results.append((image_id, int(rng.integers(1, num_classes + 1)), box))
    scores = rng.permutation(len(results)) / len(results)
    return toy, [
        {"image_id": i, "category_id": c, "bbox": b, "score": float(s)}
        for (i, c, b), s in zip(results, scores, strict=True)
    ]


def repeat_images(
    toy: ToyLVIS, results: list[dict], times: Iterable[int]
) -> tuple[ToyLVIS, list[dict]]:
    """The same set with each picture really there as often as `times` says, under new ids."""
    repeated = ToyLVIS("".join(c["frequency"] for c in toy.categories))
    repeated_results = []
    for (image_id, image), count in zip(toy.images.items(), times, strict=True):
        for copy in range(count):
            new_id = image_id * 100 + copy
            repeated.images[new_id] = {**image, "id": new_id}
            for a in toy.annotations:
                if a["image_id"] == image_id:
                    repeated.box(new_id, a["category_id"], a["bbox"])
            repeated_results += [
                {**r, "image_id": new_id} for r in results if r["image_id"] == image_id
            ]
    return repeated, repeated_results


def three_images() -> ToyLVIS:
    """Class 0 (rare): two objects in image 1. Class 1 (common): none. Class 2 (frequent): one."""
    toy = ToyLVIS("rcf")
    toy.image(1)
    toy.image(2, negative=[1])
    toy.image(3, not_exhaustive=[3])
    toy.box(1, 1, A)
    toy.box(1, 1, B)
    toy.box(3, 3, A)
    return toy
