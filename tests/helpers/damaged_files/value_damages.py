"""Damages to optional values: crowds, ``ignore``, areas, fields that no format knows."""

from __future__ import annotations

from damaged_files.catalogue import damage
from damaged_files.clean import area_of
from damaged_files.odd_file import OddFile

NAN = float("nan")
# Ways to write 0 and 1.
_SPELLINGS = {0: (False, 0.0, "0"), 1: (True, 1.0, "1")}


def _is_plain(annotation: dict) -> bool:
    return not annotation.get("iscrowd") and not annotation.get("ignore")


@damage(is_fault=False)
def iscrowd_null(odd: OddFile) -> bool:
    """Null is 0, whatever the object was meant to be."""
    taken = odd.take(odd.rng.randint(1, 4))
    for k in taken:
        odd.annotations[k]["iscrowd"] = None
        odd.objects[k]["iscrowd"] = 0
    odd.note("iscrowd")
    return bool(taken)


@damage(is_fault=False, formats=["coco"])
def iscrowd_null_in_a_whole_class(odd: OddFile) -> bool:
    tail = odd.objects[min(odd.objects)]["category_id"]
    members = [k for k, a in odd.objects.items() if a["category_id"] == tail]
    taken = odd.take(len(members), lambda a: a["category_id"] == tail)
    for k in taken:
        odd.annotations[k]["iscrowd"] = None
        odd.objects[k]["iscrowd"] = 0
    return bool(taken)


@damage(is_fault=False, formats=["coco"])
def iscrowd_spelled(odd: OddFile) -> bool:
    taken = odd.take(3)
    for k in taken:
        value = int(odd.rng.random() < 0.4)
        odd.annotations[k]["iscrowd"] = odd.rng.choice(_SPELLINGS[value])
        odd.objects[k]["iscrowd"] = value
    return bool(taken)


@damage(is_fault=False, formats=["coco"])
def iscrowd_missing(odd: OddFile) -> bool:
    taken = odd.take(3)
    for k in taken:
        del odd.annotations[k]["iscrowd"]
        odd.objects[k]["iscrowd"] = 0
    return bool(taken)


@damage(is_fault=True, formats=["coco"])
def iscrowd_of_another_value(odd: OddFile) -> bool:
    taken = odd.take(2)
    for k in taken:
        values = (2, -1, 0.5, "yes", "true", "", "1.0x", [], [1], {}, NAN)
        odd.annotations[k]["iscrowd"] = odd.rng.choice(values)
    odd.fault("iscrowd", number=len(taken))
    return bool(taken)


@damage(is_fault=False, formats=["coco"])
def only_crowds_of_a_class(odd: OddFile) -> bool:
    classes = {a["category_id"] for a in odd.counted}
    if len(classes) < 2:
        return False
    rare = min(sorted(classes), key=lambda c: sum(a["category_id"] == c for a in odd.counted))
    members = [k for k, a in odd.objects.items() if a["category_id"] == rare]
    taken = odd.take(len(members), lambda a: a["category_id"] == rare)
    for k in taken:
        odd.annotations[k]["iscrowd"] = odd.objects[k]["iscrowd"] = 1
    return bool(taken)


@damage(is_fault=False, formats=["coco"])
def all_are_crowds(odd: OddFile) -> bool:
    """Evaluated (every AP is NaN), never trained on."""
    for k in odd.take_all():
        odd.annotations[k]["iscrowd"] = odd.objects[k]["iscrowd"] = 1
    if odd.counted:
        return False
    odd.train_line = ("iscrowd", str(len(odd.objects)))
    return True


@damage(is_fault=False)
def ignore_of_no_meaning(odd: OddFile) -> bool:
    taken = odd.take(3)
    for k in taken:
        odd.annotations[k]["ignore"] = odd.rng.choice((0, 0.0, None, False, "0"))
    return bool(taken)


@damage(is_fault=False, formats=["lvis"])
def ignored(odd: OddFile) -> bool:
    """As the LVIS API does: neither a miss nor a false positive, and not trained on."""
    taken = odd.take(2)
    for k in taken:
        odd.annotations[k]["ignore"] = odd.rng.choice((1, True, 1.0, "1"))
        odd.objects[k]["ignore"] = 1
    return bool(taken)


@damage(is_fault=False, formats=["lvis"])
def crowd_in_lvis(odd: OddFile) -> bool:
    """The LVIS API knows no crowds: nobody counts them, so they are ignored."""
    taken = odd.take(2)
    for k in taken:
        odd.annotations[k]["iscrowd"] = odd.rng.choice((1, True, 1.0, "1"))
        odd.objects[k]["ignore"] = 1
    odd.note("iscrowd", "lvis")
    return bool(taken)


@damage(is_fault=False, formats=["coco"], scope=["ignore"])
def ignored_as_crowd(odd: OddFile) -> bool:
    """With ``--ignore crowd``."""
    taken = odd.take(2)
    for k in taken:
        odd.annotations[k]["ignore"] = odd.rng.choice((1, True, 1.0, "1"))
        odd.objects[k]["iscrowd"] = 1
    odd.ignore = "crowd"
    odd.note("ignore", "crowd")
    return bool(taken)


@damage(is_fault=True, formats=["coco"], scope=["ignore"])
def ignored_in_coco(odd: OddFile) -> bool:
    taken = odd.take(2)
    for k in taken:
        odd.annotations[k]["ignore"] = odd.rng.choice((1, True, 1.0, "1"))
    odd.fault("ignore", number=len(taken))
    return bool(taken)


@damage(is_fault=True)
def ignore_of_another_value(odd: OddFile) -> bool:
    taken = odd.take(2)
    for k in taken:
        odd.annotations[k]["ignore"] = odd.rng.choice((2, "maybe", [], NAN, -1))
    odd.fault("ignore", number=len(taken))
    return bool(taken)


@damage(is_fault=False)
def area_missing(odd: OddFile) -> bool:
    taken = odd.take(3)
    for k in taken:
        if odd.rng.random() < 0.5:
            odd.annotations[k]["area"] = None
        else:
            del odd.annotations[k]["area"]
        odd.objects[k]["area"] = area_of(odd.objects[k], odd.image_of(odd.objects[k]))
    return bool(taken)


@damage(is_fault=False)
def area_as_text(odd: OddFile) -> bool:
    taken = odd.take(3)
    for k in taken:
        odd.annotations[k]["area"] = str(odd.objects[k]["area"])
    odd.note("area")
    return bool(taken)


@damage(is_fault=False)
def area_zero(odd: OddFile) -> bool:
    """It stays 0; the LVIS API passes over such objects, which are trained on like any other."""
    taken = odd.take(2)
    for k in taken:
        odd.annotations[k]["area"] = odd.rng.choice((0, 0.0, "0"))
        odd.objects[k]["area"] = 0
    return bool(taken)


@damage(is_fault=True)
def area_of_no_number(odd: OddFile) -> bool:
    taken = odd.take(2)
    for k in taken:
        odd.annotations[k]["area"] = odd.rng.choice(
            ("big", "12,5", [9], {}, "", "0x10", True, NAN, -4, 2e10)
        )
    odd.fault("area", number=len(taken))
    return bool(taken)


@damage(is_fault=False)
def unknown_fields(odd: OddFile) -> bool:
    odd.content["info"] = {"description": "ünïcode", "year": None}
    odd.content["licenses"] = None
    for k in odd.take(2):
        odd.annotations[k]["attributes"] = {"occluded": False, "track_id": "7", "iscrowd": 3}
        odd.annotations[k]["keypoints"] = []
    odd.content["images"][0]["date_captured"] = odd.content["images"][0]["license"] = None
    odd.content["categories"][0]["supercategory"] = None
    return True
