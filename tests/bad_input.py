"""Every kind of bad annotation file, and the document that lists their messages.

python tests/bad_input.py    writes docs/bad-input.md
"""

import copy
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from toy_coco import SIDE, write_toy_coco

from lt_det.data.annotation_file import read_annotation_file
from lt_det.data.faults import Fault, find_faults

DOCUMENT = Path(__file__).parents[1] / "docs" / "bad-input.md"
NAN = float("nan")
HEADER = """# Bad input, and what is said about it

<!-- Written by `python tests/bad_input.py`; a test compares. -->

`python tools/inspect_dataset.py NAME --config-file CONFIG` searches an annotation file to its end
and lists all faults at once, each with its number and up to three examples. "LVIS" marks what is
asked of LVIS-format files only.
"""


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
    "image without height": (drop("images", 0, "height"), "images lacks keys", "500: height"),
    "image id twice": (twice("images"), "more than once in images", "500, 2 times"),
    "image of width 0": (set_value("images", 0, "width", 0), "no positive number", "500: 0"),
    "image size as text": (set_value("images", 0, "height", "9"), "no positive number", "500: '9'"),
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
    "category name twice": (
        set_value("categories", 0, "name", "thing 7"),
        "two categories of one name",
        "thing 7, 2 times",
    ),
    "unknown frequency": (
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
    "class annotated and listed as absent": (
        set_value("images", 0, "neg_category_ids", [7]),
        "annotated and listed as absent",
        "image 500: 7",
    ),
}

# Files that cannot be searched: text, or None for no file.
UNREADABLE = {
    "missing file": None,
    "empty file": "",
    "truncated file": '{"images": [',
    "a list": "[]",
    "no section of images": '{"annotations": [], "categories": []}',
}


def expected_faults(name: str, faults: list[Fault]) -> list[Fault]:
    """Those among ``faults`` that the entry of BAD is about."""
    _, kind, where = BAD[name]
    return [fault for fault in faults if kind in fault.kind and where in fault.where]


def document() -> str:
    """The text of docs/bad-input.md, with paths shortened to "..."."""
    with tempfile.TemporaryDirectory() as root:
        folder = write_toy_coco(Path(root) / "set")
        faults = _table(("input", "fault", "such as"), _fault_rows(folder))
        unreadable = _table(("file", "message"), _unreadable_rows(Path(root)))
        text = f"{HEADER}\n{faults}\nA file that cannot be searched:\n\n{unreadable}"
        return text.replace(str(folder), "...").replace(root, "...")


def _fault_rows(folder: Path) -> Iterator[tuple[str, ...]]:
    for name, (change, *_) in BAD.items():
        content = good_content(folder)
        change(content)
        fault, *_ = expected_faults(name, faults_of(content, folder, num_classes=None))
        is_asked_of_coco = fault in faults_of(content, folder, num_classes=None, is_lvis=False)
        yield name if is_asked_of_coco else f"{name} (LVIS)", *fault
    for name, root, options in (
        ("other number of classes than the model's", folder / "images", {"num_classes": 80}),
        ("missing folder of pictures", folder / "gone", {}),
    ):
        (fault,) = find_faults(good_content(folder), str(root), **options)
        yield name, *fault


def _unreadable_rows(folder: Path) -> Iterator[tuple[str, str]]:
    for name, text in UNREADABLE.items():
        path = folder / "annotations.json"
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
        try:
            read_annotation_file(str(path))
        except (FileNotFoundError, ValueError) as error:
            yield name, str(error)


def _table(headers: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    DOCUMENT.write_text(document())
