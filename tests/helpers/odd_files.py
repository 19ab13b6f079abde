"""Every kind of odd annotation file that has one safe reading, and the note about it."""

from bad_files import ANNOTATION, drop, set_rle, set_value
from toy_coco import SIDE

from lt_det.data.judgement.findings import Note
from lt_det.data.judgement.judge import judge


def crowds_of_class(category_id):
    def change(content):
        for annotation in content["annotations"]:
            if annotation["category_id"] == category_id:
                annotation["iscrowd"] = 1

    return change


# What is done to a good file that has one safe reading: the note's kind, and an example in it.
ODD = {
    "iscrowd null": (set_value(*ANNOTATION, "iscrowd", None), "iscrowd is null: read as 0", "1"),
    "iscrowd false": (set_value(*ANNOTATION, "iscrowd", False), "read as 0 or 1", "1: False"),
    "iscrowd as text": (set_value(*ANNOTATION, "iscrowd", "0"), "read as 0 or 1", "1: '0'"),
    "ignore null": (set_value(*ANNOTATION, "ignore", None), "ignore is null: read as 0", "1"),
    "ignore 1 (LVIS)": (
        set_value(*ANNOTATION, "ignore", 1),
        "ignore is 1: neither trained on nor counted; the LVIS API ignores it",
        "annotation 1",
    ),
    "area null": (set_value(*ANNOTATION, "area", None), "area is null: taken from the mask", "1"),
    "area as text": (set_value(*ANNOTATION, "area", "12.5"), "area is text", "'12.5'"),
    "no polygons": (set_value(*ANNOTATION, "segmentation", []), "segmentation is empty", "1"),
    "segmentation null": (
        set_value(*ANNOTATION, "segmentation", None),
        "segmentation is empty",
        "annotation 1",
    ),
    "polygon of two points": (
        set_value(*ANNOTATION, "segmentation", [[1, 1, 2, 2]]),
        "object left out: it has no valid polygon",
        "annotation 1: [[1, 1, 2, 2]]",
    ),
    "polygon of infinity": (
        set_value(*ANNOTATION, "segmentation", [[1, 1, 2, 2, 3, float("inf")]]),
        "object left out: it has no valid polygon",
        "inf",
    ),
    "polygon of odd length beside a good one": (
        set_value(*ANNOTATION, "segmentation", [[1, 1, 9, 1, 9, 9], [1, 1, 2, 2, 3, 3, 4]]),
        "polygon left out",
        "annotation 1: [1, 1, 2, 2, 3, 3, 4]",
    ),
    "RLE of whole decimals": (
        set_rle([100.0, 9116.0]),
        "RLE holds whole decimals: read as integers",
        "annotation 1",
    ),
    "RLE of no pixel": (
        set_rle([9216]),
        "object left out: its mask covers no pixel of the image",
        "annotation 1",
    ),
    "polygon outside of the image": (
        set_value(*ANNOTATION, "segmentation", [[-9, 1, -2, 1, -2, 9]]),
        "object left out: it has no valid polygon",
        "annotation 1: [[-9, 1,",
    ),
    "box of a millionth pixel": (
        set_value(*ANNOTATION, "bbox", [1, 1, 1e-6, 5]),
        "object left out: its box has no area inside the image",
        "[1, 1, 1e-06, 5]",
    ),
    "box without area": (
        set_value(*ANNOTATION, "bbox", [1, 1, 0, 5]),
        "object left out: its box has no area inside the image",
        "[1, 1, 0, 5]",
    ),
    "box of negative size": (set_value(*ANNOTATION, "bbox", [9, 9, -3, 5]), "no area", "-3, 5"),
    "box outside": (set_value(*ANNOTATION, "bbox", [97, 1, 20, 5]), "no area inside", "[97, 1"),
    "box that leaves the image": (
        set_value(*ANNOTATION, "bbox", [90, 1, 20, 5]),
        "bbox leaves the image: read as it is",
        f"in {SIDE} x {SIDE} pixels",
    ),
    "annotation id 0": (set_value(*ANNOTATION, "id", 0), "numbered anew from 1", "0"),
    "annotation id as text": (set_value(*ANNOTATION, "id", "a"), "numbered anew from 1", "'a'"),
    "annotation id 1.0": (set_value(*ANNOTATION, "id", 1.0), "whole decimal in annotations", "1.0"),
    "image id 500.0": (set_value("images", 0, "id", 500.0), "whole decimal in images", "500.0"),
    "category_id 7.0": (set_value(*ANNOTATION, "category_id", 7.0), "whole decimal", "1: 7.0"),
    "image size as text": (
        set_value("images", 0, "height", str(SIDE)),
        "height is a decimal or text: read as an integer",
        f"image 500: '{SIDE}'",
    ),
    "image without height, masks as RLE": (
        drop("images", 0, "height"),
        "image lacks height or width: its size is taken from its RLE masks",
        "image 500",
    ),
    "image without height and masks": (
        drop("images", 3, "height"),
        "image lacks height or width: its size is taken from the image file",
        "image 461",
    ),
    "category name twice": (
        set_value("categories", 0, "name", "thing 7"),
        "two categories of one name: told apart by their ids",
        "thing 7, 2 times",
    ),
    "category name as a number": (
        set_value("categories", 0, "name", 3),
        "name of a category is a number: read as text",
        "3",
    ),
    "class annotated and listed as absent (LVIS)": (
        set_value("images", 0, "neg_category_ids", [7]),
        "category is annotated and listed as absent",
        "image 500: 7",
    ),
    "class of crowds alone": (
        crowds_of_class(1003),
        "class whose objects are all crowds, ignored or left out",
        "thing 1003 (2 of 2)",
    ),
}


def notes_of(content: dict, is_lvis: bool) -> list[Note]:
    """The notes of a content; it must have no faults."""
    judgement = judge(content, "lvis" if is_lvis else "coco")
    assert judgement.faults == []
    return judgement.notes
