"""Damages to a file as a whole, to its images and categories, and to LVIS's lists."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable

from damaged_files.catalogue import damage
from damaged_files.clean import coco_2014_name
from damaged_files.odd_file import OddFile

_LISTS = ("neg_category_ids", "not_exhaustive_category_ids")
NAN = float("nan")


@damage(is_fault=False, scope=["encoding"])
def encoded_with_a_mark(odd: OddFile) -> bool:
    mark, encoding = odd.rng.choice(
        (
            (codecs.BOM_UTF8, "utf-8"),
            (codecs.BOM_UTF16_LE, "utf-16-le"),
            (codecs.BOM_UTF16_BE, "utf-16-be"),
        )
    )
    odd.is_ascii = odd.rng.random() < 0.5
    odd.encode = lambda text: mark + text.encode(encoding)
    return True


@damage(is_fault=False, scope=["results"])
def results_of_another_kind(odd: OddFile) -> bool:
    """Detections are read as the ground truth is: with a mark, with whole decimals as ids."""
    if odd.rng.random() < 0.5:
        odd.encode_results = lambda text: codecs.BOM_UTF8 + text.encode()
    if odd.rng.random() < 0.5:
        odd.encode_results = lambda text: text.encode("utf-16")
    key = odd.rng.choice(("image_id", "category_id"))
    odd.spell_results = lambda results: [{**r, key: _as_float(r[key])} for r in results]
    return True


def _as_float(value: int | str) -> float | int | str:
    exact = isinstance(value, int) and float(value) == value
    return float(value) if exact else value


@damage(is_fault=False, scope=["encoding"])
def written_in_utf8(odd: OddFile) -> bool:
    odd.is_ascii = False
    return True


@damage(is_fault=True, scope=["whole file"])
def written_in_latin1(odd: OddFile) -> bool:
    odd.is_ascii = False
    odd.encode = lambda text: text.encode("latin-1", errors="replace")
    odd.one_line = ("utf-8",)
    return True


@damage(is_fault=True, scope=["whole file"])
def cut_off(odd: OddFile) -> bool:
    odd.encode = lambda text: text.encode()[: len(text) // 2]
    odd.one_line = ("json",)
    return True


@damage(is_fault=True, scope=["whole file"])
def something_else(odd: OddFile) -> bool:
    text = odd.rng.choice((json.dumps([odd.content]), "null", '"text"', "7", "{}"))
    odd.encode = lambda _: text.encode()
    odd.one_line = ()
    return True


@damage(is_fault=False, formats=["coco"], scope=["file names"])
def coco_2014_names(odd: OddFile) -> bool:
    """Other COCO files keep them; cutting them is a rule of LVIS v0.5 alone."""
    for number, image in enumerate(odd.entries("images")):
        image["file_name"] = odd.images[number]["file_name"] = coco_2014_name(number)
    return True


@damage(is_fault=False, scope=["sizes"])
def sizes_of_another_kind(odd: OddFile) -> bool:
    kind = odd.rng.choice((float, str, lambda side: f"{side}.0"))
    for image in odd.entries("images"):
        image["height"], image["width"] = kind(image["height"]), kind(image["width"])
    return True


@damage(is_fault=False, scope=["sizes"])
def image_without_size(odd: OddFile) -> bool:
    """Boxes need none, RLE says it, and a training reads it from the image."""
    if not _take_size(odd, lambda has_polygons, has_rle: has_rle or not has_polygons):
        return False
    odd.note("height", "width")
    return True


@damage(is_fault=True, scope=["sizes"])
def image_without_the_size_that_polygons_need(odd: OddFile) -> bool:
    taken = _take_size(odd, lambda has_polygons, has_rle: has_polygons and not has_rle)
    odd.fault("height or width", number=sum(_has_polygons(odd.objects[k]) for k in taken))
    return bool(taken)


def _take_size(odd: OddFile, of: Callable[[bool, bool], bool]) -> list[int]:
    """Drop the size of an image by the masks of its objects; returns those objects, now taken."""
    for number, truth in enumerate(odd.images):
        members = [k for k, a in odd.objects.items() if a["image_id"] == truth["id"]]
        masks = [odd.objects[k].get("segmentation") for k in members]
        has_polygons, has_rle = (any(isinstance(m, kind) for m in masks) for kind in (list, dict))
        if not members or not of(has_polygons, has_rle) or not odd.are_free(members):
            continue
        for key in odd.rng.choice((("height",), ("width",), ("height", "width"))):
            odd.content["images"][number].pop(key)
            if odd.rng.random() < 0.3:
                odd.content["images"][number][key] = None
        return odd.take(len(members), lambda a, i=truth["id"]: a["image_id"] == i)
    return []


def _has_polygons(annotation: dict) -> bool:
    return isinstance(annotation.get("segmentation"), list)


@damage(is_fault=True, scope=["sizes"])
def size_of_no_number(odd: OddFile) -> bool:
    image, key = odd.entry("images"), odd.rng.choice(("height", "width"))
    image[key] = odd.rng.choice(
        ("big", 0, -image[key], "0", NAN, [image[key]], True, 40.5, 2**31, 1e300)
    )
    odd.fault("size is no")
    return True


@damage(is_fault=True, scope=["whole file"])
def image_without_name(odd: OddFile) -> bool:
    """What needs no images does not need their names."""
    del odd.entry("images")["file_name"]
    odd.fault("file_name")
    odd.needs_images = True
    return True


@damage(is_fault=True, scope=["entries"])
def entry_of_another_kind(odd: OddFile) -> bool:
    section = odd.rng.choice(("images", "annotations", "categories"))
    odd.content[section].append(odd.rng.choice((7, "x", None, [])))
    if section == "categories":
        odd.categories.append({"id": 10**6 + 1})
    odd.fault(section, "no dictionary")
    return True


@damage(is_fault=True, scope=["whole file"])
def section_of_another_kind(odd: OddFile) -> bool:
    odd.content["annotations"] = odd.rng.choice(({}, "none", 7, {"1": odd.annotations[0]}))
    odd.fault("section", "list")
    return True


@damage(is_fault=False)
def categories_of_one_name(odd: OddFile) -> bool:
    """Ids tell them apart."""
    first, second = odd.rng.sample(range(len(odd.categories)), 2)
    odd.content["categories"][first]["name"] = odd.content["categories"][second]["name"]
    odd.note("name")
    return True


@damage(is_fault=True, scope=["category names"])
def category_without_name(odd: OddFile) -> bool:
    del odd.entry("categories")["name"]
    odd.fault("categories", "lack")
    return True


@damage(is_fault=False, formats=["coco"])
def frequency_that_coco_does_not_know(odd: OddFile) -> bool:
    for category in odd.entries("categories"):
        category["frequency"] = odd.rng.choice(("r", "x", None, 7))
    return True


@damage(is_fault=True, formats=["lvis"])
def frequency_of_another_value(odd: OddFile) -> bool:
    category = odd.entry("categories")
    category["frequency"] = odd.rng.choice(("x", None, "rare", 1, ["r"]))
    if odd.rng.random() < 0.3:
        del category["frequency"]
    odd.fault("frequency")
    return True


@damage(is_fault=False, formats=["lvis"], scope=["lists", "category ids"])
def lists_of_floats_and_copies(odd: OddFile) -> bool:
    for image in odd.entries("images"):
        for key in _LISTS:
            image[key] = [float(c) for c in image[key]] * 2
    return True


@damage(is_fault=True, formats=["lvis"], scope=["lists"])
def lists_that_are_missing(odd: OddFile) -> bool:
    images = odd.entries("images")
    for image in images if odd.rng.random() < 0.5 else odd.rng.sample(images, 1):
        del image["neg_category_ids"]
    odd.fault("lacks neg_category_ids", number=None)
    return True


@damage(is_fault=True, formats=["lvis"], scope=["lists", "category ids"])
def list_of_another_kind(odd: OddFile) -> bool:
    image, key = odd.entry("images"), odd.rng.choice(_LISTS)
    image[key] = odd.rng.choice((None, 7, "3", {}, [[3]], [None], True))
    odd.fault(key)
    return True


@damage(is_fault=True, formats=["lvis"], scope=["lists", "category ids"])
def list_of_an_unknown_category(odd: OddFile) -> bool:
    image, key = odd.entry("images"), odd.rng.choice(_LISTS)
    image[key].append(odd.rng.choice((10**7, "3", -4, 0.5)))
    odd.fault(key)
    return True


@damage(is_fault=False, formats=["lvis"], scope=["lists", "category ids", "image ids"])
def list_that_contradicts(odd: OddFile) -> bool:
    """The LVIS API counts the annotations, whatever the list says."""
    taken = odd.take(1)
    for k in taken:
        truth = odd.objects[k]
        image = next(i for i in odd.entries("images") if i["id"] == truth["image_id"])
        image["neg_category_ids"].append(truth["category_id"])
        next(i for i in odd.images if i["id"] == truth["image_id"])["neg_category_ids"] = list(
            image["neg_category_ids"]
        )
        odd.note("absent")
    return bool(taken)
