"""Small files that are odd on purpose, with detections, and what counts in them."""

import copy
from collections.abc import Callable, Iterator

from toy_lvis import ToyLVIS

BOXES = ((5, 5, 20, 20), (40, 8, 30, 20), (10, 50, 25, 30), (60, 60, 30, 30))


def clean_set() -> dict:
    """Four images with an object of each of three classes; class 3 also twice in image 4."""
    toy = ToyLVIS("rcf")
    for image_id in (1, 2, 3, 4):
        toy.image(image_id)
        for category_id, box in zip((1, 2, 3), BOXES, strict=False):
            toy.box(image_id, category_id, box)
    toy.box(4, 3, BOXES[3])
    content = toy.dataset
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 0
    return content


def of_class(category_id: int, **values) -> Callable[[dict], None]:
    """Sets keys of all annotations of a class."""

    def change(content: dict) -> None:
        for annotation in content["annotations"]:
            if annotation["category_id"] == category_id:
                annotation |= copy.deepcopy(values)

    return change


def drop(category_id: int, *keys: str) -> Callable[[dict], None]:
    """Removes keys of all annotations of a class."""

    def change(content: dict) -> None:
        for annotation in content["annotations"]:
            if annotation["category_id"] == category_id:
                for key in keys:
                    annotation.pop(key, None)

    return change


def ids(change: Callable) -> Callable[[dict], None]:
    """Changes all ids of images and categories, and what refers to them."""

    def change_all(content: dict) -> None:
        for section, keys in (
            ("images", ("id",)),
            ("categories", ("id",)),
            ("annotations", ("image_id", "category_id")),
        ):
            for entry in content[section]:
                for key in keys:
                    entry[key] = change(entry[key])
        for image in content["images"]:
            for key in ("neg_category_ids", "not_exhaustive_category_ids"):
                image[key] = [change(i) for i in image[key]]

    return change_all


def annotation_ids(change: Callable) -> Callable[[dict], None]:
    """Changes all annotation ids."""

    def change_all(content: dict) -> None:
        for annotation in content["annotations"]:
            annotation["id"] = change(annotation["id"])

    return change_all


def first(**values) -> Callable[[dict], None]:
    """Sets keys of the first annotation, which is of class 1."""
    return lambda content: content["annotations"][0].update(copy.deepcopy(values))


ALL = (4, 4, 5)
NAMED = "COCO", "LVIS"
# What is done, and the counted objects of each class then, in COCO and in LVIS format.
ACCEPTED = {
    "clean": (lambda content: None, ALL, ALL),
    "iscrowd null": (of_class(1, iscrowd=None), ALL, ALL),
    "iscrowd missing": (drop(1, "iscrowd"), ALL, ALL),
    "iscrowd true": (of_class(1, iscrowd=True), (0, 4, 5), (0, 4, 5)),
    "iscrowd as text": (of_class(2, iscrowd="1"), (4, 0, 5), (4, 0, 5)),
    "iscrowd 1": (first(iscrowd=1), (3, 4, 5), (3, 4, 5)),
    "ignore null": (of_class(1, ignore=None), ALL, ALL),
    "ignore 0": (of_class(1, ignore=0), ALL, ALL),
    "area null": (of_class(1, area=None), ALL, ALL),
    "area missing": (drop(1, "area"), ALL, ALL),
    "area as text": (of_class(1, area="400"), ALL, ALL),
    "box without area": (first(bbox=[5, 5, 0, 20]), (3, 4, 5), (3, 4, 5)),
    "box outside": (first(bbox=[101, 5, 10, 20]), (3, 4, 5), (3, 4, 5)),
    "box that leaves the image": (first(bbox=[-5, 5, 30, 20]), ALL, ALL),
    "no valid polygon": (first(segmentation=[[5, 5, 9, 9]]), (3, 4, 5), (3, 4, 5)),
    "one polygon of two": (first(segmentation=[[5, 5, 9, 9], [5, 5, 25, 5, 25, 25]]), ALL, ALL),
    "annotation ids as text": (annotation_ids(lambda i: f"a{i}"), ALL, ALL),
    "annotation ids from 0": (annotation_ids(lambda i: i - 1), ALL, ALL),
    "huge annotation ids": (annotation_ids(lambda i: i + 2**70), ALL, ALL),
    "ids as text": (ids(lambda i: "0" * i + "7"), ALL, ALL),
    "negative ids": (ids(lambda i: -i), ALL, ALL),
    "ids from 0": (ids(lambda i: i - 1), ALL, ALL),
    "whole decimals as ids": (ids(float), ALL, ALL),
    "large ids": (ids(lambda i: i + 2**60), ALL, ALL),
}


def accepted() -> Iterator[tuple[str, str]]:
    """All names of `ACCEPTED`, in both formats."""
    for name in ACCEPTED:
        yield from ((name, "coco"), (name, "lvis"))


def odd_set(name: str, data_format: str) -> tuple[dict, tuple[int, ...]]:
    """An odd file's content, and the counted objects of each class.

    In the COCO format the order of classes is that of ids, in which "0007" comes before "007".
    """
    change, in_coco, in_lvis = ACCEPTED[name]
    content = clean_set()
    change(content)
    counts = in_coco if data_format == "coco" else in_lvis
    order = sorted(range(3), key=lambda k: content["categories"][k]["id"])
    return content, tuple(counts[k] for k in order)
