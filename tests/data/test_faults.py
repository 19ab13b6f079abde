"""Every kind of bad annotation file, each with its message, and all of them at once."""

import copy
import json

import pytest
from toy_coco import SIDE, write_toy_coco

from lt_det.data.faults import find_faults, format_faults

NAN = float("nan")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_toy_coco(tmp_path_factory.mktemp("coco") / "set")


@pytest.fixture
def content(folder):
    """A good file that has what LVIS adds, too."""
    content = json.loads((folder / "annotations.json").read_text())
    for category, frequency in zip(content["categories"], "rcf", strict=True):
        category["frequency"] = frequency
    for image in content["images"]:
        image |= {"neg_category_ids": [], "not_exhaustive_category_ids": []}
    return content


def faults_of(content, folder, **options):
    options = {"is_lvis": True, "num_classes": 3, **options}
    return list(find_faults(content, str(folder / "images"), **options))


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
    "no images section": (lambda c: c.pop("images"), "section is missing", "images"),
    "images no list": (lambda c: c.update(images={}), "section is no list", "images"),
    "no images": (lambda c: c.update(images=[]), "no images", "empty"),
    "no categories": (lambda c: c.update(categories=[]), "no categories", "empty"),
    "image no dict": (lambda c: c["images"].append(7), "images is no dictionary", "11: 7"),
    "annotation no dict": (
        lambda c: c["annotations"].append("x"),
        "annotations is no dictionary",
        "'x'",
    ),
    "image without id": (drop("images", 0, "id"), "entry of images lacks keys", "number 0: id"),
    "image without height": (drop("images", 0, "height"), "images lacks keys", "500: height"),
    "image id twice": (twice("images"), "more than once in images", "500, 2 times"),
    "image of no width": (set_value("images", 0, "width", 0), "no positive number", "500: 0"),
    "image of text size": (set_value("images", 0, "height", "9"), "no positive number", "500: 9"),
    "image without name": (drop("images", 0, "file_name"), "neither file_name nor", "image 500"),
    "missing picture": (
        set_value("images", 0, "file_name", "gone.png"),
        "picture is missing",
        "images/gone.png",
    ),
    "missing picture by url": (
        lambda c: c["images"][0].update(coco_url="http://x/val2017/1.jpg", file_name="val/1.jpg"),
        "picture is missing",
        "val/1.jpg",
    ),
    "category without name": (drop("categories", 0, "name"), "categories lacks keys", "1003: name"),
    "category id twice": (twice("categories"), "more than once in categories", "1003, 2 times"),
    "category name twice": (
        set_value("categories", 0, "name", "thing 7"),
        "two categories of one name",
        "thing 7, 2 times",
    ),
    "frequency": (
        set_value("categories", 0, "frequency", "x"),
        "frequency is none of r, c, f",
        "category 1003: 'x'",
    ),
    "annotation without box": (drop(*ANNOTATION, "bbox"), "annotations lacks keys", "1: bbox"),
    "annotation id twice": (twice("annotations"), "more than once in annotations", "1, 2 times"),
    "annotation id 0": (set_value(*ANNOTATION, "id", 0), "id is below 1", "annotation 0"),
    "unknown image": (set_value(*ANNOTATION, "image_id", 3), "image_id is not in the file", ": 3"),
    "unknown category": (
        set_value(*ANNOTATION, "category_id", 8),
        "category_id is not in the file",
        "annotation 1: 8",
    ),
    "box of three": (set_value(*ANNOTATION, "bbox", [1, 2, 3]), "four finite numbers", "[1, 2, 3]"),
    "box of NaN": (set_value(*ANNOTATION, "bbox", [NAN, 2, 3, 4]), "four finite numbers", "nan"),
    "box of text": (set_value(*ANNOTATION, "bbox", ["1", 2, 3, 4]), "four finite numbers", "'1'"),
    "box of truth": (set_value(*ANNOTATION, "bbox", [True, 2, 3, 4]), "four finite", "True"),
    "box without area": (set_value(*ANNOTATION, "bbox", [1, 1, 0, 5]), "bbox has no area", "0, 5"),
    "box of negative size": (set_value(*ANNOTATION, "bbox", [9, 9, -3, 5]), "no area", "-3, 5"),
    "box outside": (
        set_value(*ANNOTATION, "bbox", [90, 1, 20, 5]),
        "bbox leaves the picture",
        f"in {SIDE} x {SIDE} pixels",
    ),
    "box before the start": (
        set_value(*ANNOTATION, "bbox", [-9, 1, 20, 5]),
        "bbox leaves the picture",
        "[-9, 1, 20, 5]",
    ),
    "polygon of two points": (
        set_value(*ANNOTATION, "segmentation", [[1, 1, 2, 2]]),
        "polygon has no three points",
        "[1, 1, 2, 2]",
    ),
    "polygon of odd length": (
        set_value(*ANNOTATION, "segmentation", [[1, 1, 2, 2, 3, 3, 4]]),
        "polygon has no three points",
        "annotation 1",
    ),
    "polygon of infinity": (
        set_value(*ANNOTATION, "segmentation", [[1, 1, 2, 2, 3, float("inf")]]),
        "no finite number",
        "inf",
    ),
    "flat polygon": (
        set_value(*ANNOTATION, "segmentation", [1, 1, 2, 2, 3, 3]),
        "polygon has no three points",
        "annotation 1: 1",
    ),
    "no polygons": (set_value(*ANNOTATION, "segmentation", []), "segmentation is empty", "1"),
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
    "RLE of another size": (
        set_value(*ANNOTATION, "segmentation", {"size": [5, 6], "counts": "x"}),
        "RLE has another size",
        f"[5, 6] not [{SIDE}, {SIDE}]",
    ),
    "unknown negative": (
        set_value("images", 0, "neg_category_ids", [5]),
        "neg_category_ids names no category",
        "image 500: 5",
    ),
    "no negatives": (
        drop("images", 0, "neg_category_ids"),
        "image lacks neg_category_ids",
        "image 500",
    ),
    "annotated and absent": (
        set_value("images", 0, "neg_category_ids", [7]),
        "annotated and listed as absent",
        "image 500: 7",
    ),
}


def test_a_good_file_has_no_fault(content, folder):
    assert faults_of(content, folder) == []
    assert format_faults([]) == ""


@pytest.mark.parametrize("name", BAD)
def test_each_fault_is_named_with_its_place(content, folder, name):
    change, kind, where = BAD[name]
    change(content)
    found = faults_of(content, folder, num_classes=None)
    assert any(kind in fault.kind and where in fault.where for fault in found), found


def test_there_are_at_least_forty_kinds_of_bad_input():
    assert len(BAD) >= 40


def test_number_of_classes_is_compared(content, folder):
    (fault,) = faults_of(content, folder, num_classes=80)
    assert fault.kind == "MODEL.ROI_HEADS.NUM_CLASSES differs from the file"
    assert fault.where == "80 against 3 categories"


def test_missing_folder_names_the_variable(content, folder):
    (fault,) = find_faults(content, str(folder / "gone"))
    assert fault.kind == "image folder is missing"
    assert f"{folder}/gone (set DETECTRON2_DATASETS" in fault.where


def test_what_lvis_adds_is_not_asked_of_coco(folder):
    content = json.loads((folder / "annotations.json").read_text())
    assert faults_of(content, folder, is_lvis=False) == []
    kinds = {fault.kind for fault in faults_of(content, folder)}
    assert "frequency is none of r, c, f" in kinds


@pytest.mark.parametrize("content", [[], None, "text", 3])
def test_no_dictionary(content):
    (fault,) = find_faults(content, "anywhere")
    assert "no dictionary of sections" in fault.kind


def test_all_faults_come_at_once(content, folder):
    changes = ["missing picture", "box without area", "unknown category", "category name twice"]
    for name in changes:
        BAD[name][0](content)
    for annotation in content["annotations"][4:10]:
        annotation["image_id"] = 1
    text = format_faults(faults_of(content, folder))
    for name in changes:
        assert BAD[name][1] in text
    row = next(line for line in text.splitlines() if "image_id is not in the file" in line)
    assert "| 6 |" in " ".join(row.split())
    assert row.count("annotation ") == 3  # examples; the number says the rest
