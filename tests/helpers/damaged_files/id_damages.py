"""Damages to ids and to what refers to them."""

from __future__ import annotations

import copy

from damaged_files.catalogue import damage
from damaged_files.odd_file import OddFile

_LISTS = {"neg_category_ids", "not_exhaustive_category_ids"}
_HUGE = 2**70


@damage(is_fault=False, scope=["annotation ids"])
def annotation_ids_of_another_kind(odd: OddFile) -> bool:
    """They only need to be unique, and are renumbered."""
    number = len(odd.entries("annotations"))
    ids = odd.rng.choice(
        (
            range(number),
            range(-3, number),
            [f"object {n}" for n in range(number)],
            ["07", "007", *range(8, number + 6)],
            [_HUGE + n for n in range(number)],
            [-_HUGE, *range(1, number)],
        )
    )
    for annotation, new in zip(odd.entries("annotations"), ids, strict=False):
        annotation["id"] = new
    odd.note("annotation", "id")
    return True


@damage(is_fault=False, scope=["annotation ids"])
def annotation_ids_as_floats(odd: OddFile) -> bool:
    for annotation in odd.entries("annotations"):
        annotation["id"] = float(annotation["id"])
    return True


@damage(is_fault=True, scope=["annotation ids"])
def annotation_id_twice(odd: OddFile) -> bool:
    first, second = odd.rng.sample(odd.entries("annotations"), 2)
    second["id"] = odd.rng.choice((first["id"], float(first["id"])))
    odd.fault("more than once", "annotations")
    return True


@damage(is_fault=True, scope=["annotation ids"])
def annotation_without_id(odd: OddFile) -> bool:
    odd.entry("annotations").pop("id")
    odd.fault("annotations", "lack")
    return True


@damage(is_fault=False, scope=["image ids"])
def image_ids_of_any_sign(odd: OddFile) -> bool:
    ids = odd.rng.choice(
        ((0, 1, 2, 3, 4), (-5, 0, 7, 2**40, 3), (-(2**63), 2**63 - 1, 5, 6, 8), (2**53 + 1, 2**53))
    )
    _rename_images(odd, dict(zip((i["id"] for i in odd.images), ids, strict=False)))
    return True


@damage(is_fault=False, scope=["image ids"])
def image_ids_as_text(odd: OddFile) -> bool:
    """ "07", "007" and "7" are three images."""
    ids = ("07", "007", "7", "a/b c", "ü")
    _rename_images(odd, dict(zip((i["id"] for i in odd.images), ids, strict=True)))
    return True


@damage(is_fault=False, scope=["image ids"])
def image_ids_as_floats(odd: OddFile) -> bool:
    """Whole floats are integers, in the images, in the annotations, or in both."""
    where = odd.rng.choice((("images",), ("annotations",), ("images", "annotations")))
    if "images" in where:
        for image in odd.entries("images"):
            image["id"] = float(image["id"])
    if "annotations" in where:
        for annotation in odd.entries("annotations"):
            annotation["image_id"] = float(annotation["image_id"])
    return True


@damage(is_fault=True, scope=["image ids"])
def image_id_that_is_none(odd: OddFile) -> bool:
    """Of an image without objects, so that nothing else is wrong."""
    empty = next(n for n, i in enumerate(odd.images) if odd.without_reference(i["id"]))
    values = ("text among numbers", None, True, 1.5, _HUGE, -_HUGE, [1], float("nan"), 2**63)
    odd.content["images"][empty]["id"] = odd.rng.choice(values)
    odd.fault("id", "images")
    return True


@damage(is_fault=True, scope=["image ids"])
def image_id_twice(odd: OddFile) -> bool:
    again = copy.deepcopy(odd.entry("images"))
    again["id"] = odd.rng.choice((again["id"], float(again["id"])))
    odd.content["images"].append(again)
    odd.fault("more than once", "images")
    return True


@damage(is_fault=False, scope=["category ids"])
def category_ids_of_any_sign(odd: OddFile) -> bool:
    ids = odd.rng.choice(((0, 1, 2, 3, 4, 5), (-9, 0, 4, -1, 2**40, 6), (5, 4, 3, 2, 1, 0)))
    _rename_categories(odd, dict(zip((c["id"] for c in odd.categories), ids, strict=False)))
    return True


@damage(is_fault=False, scope=["category ids"])
def category_ids_as_text(odd: OddFile) -> bool:
    ids = ("07", "007", "7", "10", "n01440764", "")
    _rename_categories(odd, dict(zip((c["id"] for c in odd.categories), ids, strict=False)))
    return True


@damage(is_fault=False, scope=["category ids"])
def category_ids_as_floats(odd: OddFile) -> bool:
    as_float = {c["id"]: float(c["id"]) for c in odd.categories}
    truth = copy.deepcopy((odd.categories, odd.objects, odd.images))
    _rename_categories(odd, as_float)
    odd.categories, odd.objects, odd.images = truth
    return True


@damage(is_fault=True, scope=["category ids"])
def category_id_that_is_none(odd: OddFile) -> bool:
    """Of one more category, which nothing refers to."""
    more = {"id": None, "name": "one more", "frequency": "r"}
    values = ("text among numbers", None, True, 2.5, _HUGE, [1], 2**63)
    more["id"] = odd.rng.choice(values)
    odd.content["categories"].append(more)
    odd.categories.append({**more, "id": 10**6})
    odd.fault("id", "categories")
    return True


@damage(is_fault=True, scope=["category ids"])
def category_id_twice(odd: OddFile) -> bool:
    again = copy.deepcopy(odd.entry("categories"))
    again |= {"name": "another name", "id": odd.rng.choice((again["id"], float(again["id"])))}
    odd.content["categories"].append(again)
    odd.categories.append({**again, "id": 10**6})
    odd.fault("more than once", "categories")
    return True


@damage(is_fault=True, scope=["image ids"])
def image_id_that_does_not_match(odd: OddFile) -> bool:
    return _mismatch(odd, "image_id")


@damage(is_fault=True, scope=["category ids"])
def category_id_that_does_not_match(odd: OddFile) -> bool:
    return _mismatch(odd, "category_id")


def _mismatch(odd: OddFile, key: str) -> bool:
    taken = odd.take(2)
    for k in taken:
        values = (str(odd.objects[k][key]), 10**7, None, -1, True, 0.5, [3], {}, _HUGE, "")
        odd.annotations[k][key] = odd.rng.choice(values)
    odd.fault(f"{key} is not", number=len(taken))
    return bool(taken)


@damage(is_fault=True, scope=["image ids", "category ids"])
def reference_that_is_missing(odd: OddFile) -> bool:
    taken = odd.take(1)
    for k in taken:
        odd.annotations[k].pop(odd.rng.choice(("image_id", "category_id")))
        odd.fault("annotations", "lack")
    return bool(taken)


def _rename_images(odd: OddFile, new: dict) -> None:
    for entries in (odd.entries("images"), odd.images):
        for entry in entries:
            entry["id"] = new.get(entry["id"], entry["id"])
    _rename_references(odd, "image_id", new)


def _rename_categories(odd: OddFile, new: dict) -> None:
    for entries in (odd.entries("categories"), odd.categories):
        for entry in entries:
            entry["id"] = new.get(entry["id"], entry["id"])
    for image in [*odd.entries("images"), *odd.images] if odd.is_lvis else ():
        for key in _LISTS & image.keys():
            image[key] = [new.get(c, c) for c in image[key]]
    _rename_references(odd, "category_id", new)


def _rename_references(odd: OddFile, key: str, new: dict) -> None:
    for annotation in [*odd.entries("annotations"), *odd.objects.values()]:
        annotation[key] = new.get(annotation[key], annotation[key])
