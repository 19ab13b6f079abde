"""Every kind of bad annotation file: what is done to a good one, and what must be said of it."""

import copy
import json
from pathlib import Path

from toy_coco import SIDE

from lt_det.data.inspection.file_faults import find_faults
from lt_det.data.inspection.requirements import Needs
from lt_det.data.judgement.fault import Fault

NAN = float("nan")


def good_content(folder: Path) -> dict:
    """The toy file with what LVIS adds, too."""
    content = json.loads((folder / "annotations.json").read_text())
    for category, frequency in zip(content["categories"], "rcf", strict=True):
        category["frequency"] = frequency
    for image in content["images"]:
        image |= {"neg_category_ids": [], "not_exhaustive_category_ids": []}
    return content


def faults_of(content: dict, folder: Path, **options) -> list[Fault]:
    """All faults of a content whose pictures are those of the toy set."""
    options = {"is_lvis": True, "needs": Needs(num_classes=3), **options}
    return list(find_faults(content, str(folder / "images"), **options))


def set_first(key, *values):
    """Set a key of the first annotations to values, one each."""

    def change(content):
        for annotation, value in zip(content["annotations"], values, strict=False):
            annotation[key] = value

    return change


def set_all(key, value):
    """Set a key of all annotations."""

    def change(content):
        for annotation in content["annotations"]:
            annotation[key] = value

    return change


def set_rle(counts, size=(SIDE, SIDE)):
    return set_first("segmentation", {"size": list(size), "counts": counts})


def normalise(content):
    for annotation in content["annotations"]:
        annotation["bbox"] = [round(value / SIDE, 2) for value in annotation["bbox"]]


def as_corners(content):
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        annotation["bbox"] = [x, y, x + width, y + height]


def without_rle_and_sizes(content):
    for annotation in content["annotations"]:
        if isinstance(annotation["segmentation"], dict):
            annotation["segmentation"] = None
    for image in content["images"]:
        image["width"] = None


def all_crowds(content):
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 1


def set_value(section, number, key, value):
    def change(content):
        content[section][number][key] = value

    return change


def drop(section, number, key):
    return lambda content: content[section][number].pop(key)


def twice(section):
    return lambda content: content[section].append(copy.deepcopy(content[section][0]))


ANNOTATION = ("annotations", 0)
# What is done to a good file, and the kind and place that must come out of it.
BAD = {
    "images is no list": (lambda c: c.update(images={}), "section is no list", "images"),
    "no images": (lambda c: c.update(images=[]), "no images", "empty"),
    "no categories": (lambda c: c.update(categories=[]), "no categories", "empty"),
    "an image is no dictionary": (
        lambda c: c["images"].append(7),
        "images is no dictionary",
        "11: 7",
    ),
    "an annotation is no dictionary": (
        lambda c: c["annotations"].append("x"),
        "annotations is no dictionary",
        "'x'",
    ),
    "image without id": (drop("images", 0, "id"), "entry of images lacks keys", "number 0: id"),
    "image id twice": (twice("images"), "more than once in images", "500, 2 times"),
    "image of width 0": (set_value("images", 0, "width", 0), "no positive number", "500: 0"),
    "image without file name": (
        drop("images", 0, "file_name"),
        "neither file_name nor",
        "image 500",
    ),
    "missing picture": (
        set_value("images", 0, "file_name", "gone.png"),
        "picture is missing",
        "images/gone.png",
    ),
    "missing picture, named twice": (
        lambda c: c["images"][0].update(coco_url="http://x/val2017/1.jpg", file_name="val/1.jpg"),
        "picture is missing",
        "val/1.jpg",
    ),
    "category without name": (drop("categories", 0, "name"), "categories lacks keys", "1003: name"),
    "category id twice": (twice("categories"), "more than once in categories", "1003, 2 times"),
    "unknown frequency": (
        set_value("categories", 0, "frequency", "x"),
        "frequency is none of r, c, f",
        "category 1003: 'x'",
    ),
    "annotation without box": (drop(*ANNOTATION, "bbox"), "annotations lacks keys", "1: bbox"),
    "no annotations": (
        lambda c: c.update(annotations=[]),
        "no annotations",
        "nothing to train on",
    ),
    "category id null": (
        set_value("categories", 0, "id", None),
        "id is neither number nor text in categories",
        "number 0: None",
    ),
    "image ids of both kinds": (
        set_value("images", 0, "id", "a"),
        "ids are numbers and text in images",
        "such as 'a'",
    ),
    "category id as a list": (
        set_value(*ANNOTATION, "category_id", [7]),
        "category_id is not in the file",
        "annotation 1: [7]",
    ),
    "annotation id twice": (twice("annotations"), "more than once in annotations", "1, 2 times"),
    "unknown image": (set_value(*ANNOTATION, "image_id", 3), "image_id is not in the file", ": 3"),
    "unknown category": (
        set_value(*ANNOTATION, "category_id", 8),
        "category_id is not in the file",
        "annotation 1: 8",
    ),
    "category id as text": (
        set_value(*ANNOTATION, "category_id", "7"),
        "category_id is not in the file",
        "annotation 1: '7'",
    ),
    "box of three numbers": (
        set_value(*ANNOTATION, "bbox", [1, 2, 3]),
        "four finite numbers",
        "[1, 2, 3]",
    ),
    "box of NaN": (set_value(*ANNOTATION, "bbox", [NAN, 2, 3, 4]), "four finite numbers", "nan"),
    "box of text": (set_value(*ANNOTATION, "bbox", ["1", 2, 3, 4]), "four finite numbers", "'1'"),
    "box of true and false": (
        set_value(*ANNOTATION, "bbox", [True, 2, 3, 4]),
        "four finite",
        "True",
    ),
    "boxes as fractions of the picture": (
        normalise,
        "bbox is below 1 pixel (normalised coordinates?)",
        "all 19 boxes lie within [0, 1]",
    ),
    "flat polygon": (
        set_value(*ANNOTATION, "segmentation", [1, 1, 2, 2, 3, 3]),
        "segmentation is a flat list, expected a list of polygons",
        "annotation 1: [1, 1, 2, 2, 3, 3]",
    ),
    "polygon of text": (
        set_value(*ANNOTATION, "segmentation", [["1", 1, 2, 2, 3, 3]]),
        "polygon holds what is no number",
        "annotation 1: ['1', 1, 2, 2, 3, 3]",
    ),
    "boxes as corners": (
        as_corners,
        "bbox is not x, y, width, height (x1, y1, x2, y2?)",
        "6 of 7 boxes",
    ),
    "size of an image that its polygons need": (
        without_rle_and_sizes,
        "image lacks height or width, which its polygons need",
        "annotation 2",
    ),
    "iscrowd 2": (set_value(*ANNOTATION, "iscrowd", 2), "iscrowd is neither 0 nor 1", "1: 2"),
    "area of text": (set_value(*ANNOTATION, "area", "big"), "area is no finite number", "'big'"),
    "area NaN": (set_value(*ANNOTATION, "area", NAN), "area is no finite number", "nan"),
    "area larger than any image": (
        set_value(*ANNOTATION, "area", 2e10),
        "area is no finite number",
        "20000000000.0",
    ),
    "image of a width beyond 32 bits": (
        set_value("images", 0, "width", 2**31),
        "no positive number",
        "500: 2147483648",
    ),
    "no object with an area": (
        set_all("bbox", [9, 9, 0, 0]),
        "no annotation is left",
        "all 19: object left out: its box has no area inside the image",
    ),
    "annotation id 1.5": (
        set_value(*ANNOTATION, "id", 1.5),
        "id is neither number nor text in annotations",
        "number 0: 1.5",
    ),
    "image id beyond 64 bits": (
        set_value("images", 0, "id", 2**63),
        "id has more than 64 bits in images",
        "9223372036854775808",
    ),
    "category name null": (
        set_value("categories", 0, "name", None),
        "name of a category is no text",
        "1003: None",
    ),
    "segmentation of text": (
        set_value(*ANNOTATION, "segmentation", "mask.png"),
        "neither polygons nor RLE",
        "mask.png",
    ),
    "RLE without size": (
        set_value(*ANNOTATION, "segmentation", {"counts": "x"}),
        "RLE lacks size or counts",
        "annotation 1",
    ),
    "RLE of a size as text": (
        set_rle("x", ("a", SIDE)),
        "RLE lacks size or counts",
        "annotation 1",
    ),
    "RLE of another size": (
        set_rle("x", (5, 6)),
        "RLE has another size",
        f"[5, 6] not [{SIDE}, {SIDE}]",
    ),
    "RLE of any text": (set_rle("hello world"), "RLE counts cannot be read", "'hello world'"),
    "RLE of no counts": (set_rle(""), "RLE counts cannot be read", "annotation 1: ''"),
    "RLE of letters among its counts": (set_rle([5, "a"]), "counts cannot be read", "[5, 'a']"),
    "RLE that ends early": (
        set_rle([5, 5]),
        "RLE counts do not divide the mask",
        f"annotation 1: [5, 5] for {SIDE} x {SIDE} pixels",
    ),
    "compressed RLE that ends early": (set_rle("55"), "counts do not divide the mask", "'55' for"),
    "RLE of a negative count": (set_rle([-4, 9220]), "counts do not divide", "[-4, 9220] for"),
    "unknown class listed as absent": (
        set_value("images", 0, "neg_category_ids", [5]),
        "neg_category_ids names no category",
        "image 500: 5",
    ),
    "no list of absent classes": (
        drop("images", 0, "neg_category_ids"),
        "image lacks neg_category_ids",
        "image 500",
    ),
    "absent classes as a number": (
        set_value("images", 0, "neg_category_ids", 7),
        "neg_category_ids is no list of ids",
        "image 500: 7",
    ),
}

# The same, of files that are faulty under some configs only.
BAD_FOR_A_CONFIG = {
    "other number of classes than the model's": (
        lambda c: None,
        Needs(num_classes=80),
        "MODEL.ROI_HEADS.NUM_CLASSES differs from the file",
        "80 against 3 categories",
    ),
    "boxes without masks": (
        lambda c: c["annotations"][0].pop("segmentation"),
        Needs(masks=True),
        "annotation has no segmentation, but MODEL.MASK_ON is True",
        "annotation 1",
    ),
    "boxes with empty masks": (
        set_first("segmentation", []),
        Needs(masks=True),
        "annotation has no segmentation, but MODEL.MASK_ON is True",
        "annotation 1",
    ),
    "RLE for polygons": (
        lambda c: None,
        Needs(masks=True, polygons=True),
        "RLE masks need INPUT.MASK_FORMAT bitmask",
        "annotation 1",
    ),
    "training set of crowds alone": (
        all_crowds,
        Needs(is_training=True),
        "no object to train on",
        "of 19 objects 19 are",
    ),
    "training set without annotations": (
        lambda c: c.pop("annotations"),
        Needs(is_training=True),
        "no annotations",
        "there is nothing to train on",
    ),
}


def expected_faults(name: str, faults: list[Fault]) -> list[Fault]:
    """Those among ``faults`` that the entry of BAD or BAD_FOR_A_CONFIG is about."""
    *_, kind, where = {**BAD, **BAD_FOR_A_CONFIG}[name]
    return [fault for fault in faults if kind in fault.kind and where in fault.where]
