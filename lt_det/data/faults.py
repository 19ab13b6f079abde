"""Every fault of an annotation file at once, in words a user can act on.

Loaders stop at the first thing that is wrong. Here the file is searched to its end, so that a user
mends it once. Pictures are looked for, and not opened.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from tabulate import tabulate

__all__ = ["Fault", "find_faults", "format_faults"]

_NUM_EXAMPLES = 3
_SECTIONS = ("images", "categories", "annotations")
# Boxes are rounded when they are written; more than this outside a picture is a fault.
_SLACK = 2.0


class Fault(NamedTuple):
    """One thing that is wrong.

    Attributes:
        kind: what is wrong, the same words for all faults of the kind.
        where: which entry, with its value.
    """

    kind: str
    where: str


def find_faults(
    content: Any, image_root: str, *, is_lvis: bool = False, num_classes: int | None = None
) -> Iterator[Fault]:
    """Search an annotation file's content.

    Args:
        content: the parsed JSON.
        image_root: folder of the pictures.
        is_lvis: check what LVIS's format has beyond COCO's too.
        num_classes: ``MODEL.ROI_HEADS.NUM_CLASSES``, if it is known.

    Yields:
        Faults, in the order of the file's sections.
    """
    if not isinstance(content, dict):
        yield Fault("file is no dictionary of sections", f"a {type(content).__name__}")
        return
    entries = {}
    for section in _SECTIONS:
        entries[section] = content.get(section, [])
        if section not in content and section != "annotations":
            yield Fault("section is missing", section)
        elif not isinstance(entries[section], list):
            yield Fault("section is no list", section)
            entries[section] = []
    images = {i["id"]: i for i in entries["images"] if isinstance(i, dict) and "id" in i}
    categories = {c["id"]: c for c in entries["categories"] if isinstance(c, dict) and "id" in c}
    yield from _category_faults(entries["categories"], is_lvis, num_classes)
    yield from _image_faults(entries["images"], image_root)
    yield from _annotation_faults(entries["annotations"], images, categories, is_lvis)
    if is_lvis:
        yield from _federated_faults(entries, categories)


def format_faults(faults: Iterable[Fault]) -> str:
    """A table of kinds with their number and the first examples; "" without faults."""
    examples: dict[str, list[str]] = {}
    number = Counter()
    for fault in faults:
        number[fault.kind] += 1
        if number[fault.kind] <= _NUM_EXAMPLES:
            examples.setdefault(fault.kind, []).append(fault.where)
    rows = [[kind, number[kind], "; ".join(where)] for kind, where in examples.items()]
    return tabulate(rows, ("fault", "number", "such as"), tablefmt="pipe") if rows else ""


def _entry_faults(entries: list, section: str, keys: tuple[str, ...]) -> Iterator[Fault]:
    """Entries that are no dictionaries, lack keys or share an id."""
    ids = Counter()
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):
            yield Fault(f"entry of {section} is no dictionary", f"number {position}: {entry!r:.60}")
            continue
        missing = [key for key in keys if key not in entry]
        if missing:
            name = entry.get("id", f"number {position}")
            yield Fault(f"entry of {section} lacks keys", f"{name}: {', '.join(missing)}")
        if "id" in entry:
            ids[entry["id"]] += 1
    for entry_id, count in ids.items():
        if count > 1:
            yield Fault(f"id occurs more than once in {section}", f"{entry_id}, {count} times")


def _category_faults(entries: list, is_lvis: bool, num_classes: int | None) -> Iterator[Fault]:
    yield from _entry_faults(entries, "categories", ("id", "name"))
    if not entries:
        yield Fault("no categories", "the list is empty")
    named = [c for c in entries if isinstance(c, dict) and "name" in c]
    for name, count in Counter(str(c["name"]) for c in named).items():
        if count > 1:
            yield Fault("two categories of one name", f"{name}, {count} times")
    if num_classes is not None and num_classes != len(entries):
        yield Fault(
            "MODEL.ROI_HEADS.NUM_CLASSES differs from the file",
            f"{num_classes} against {len(entries)} categories",
        )
    for category in named if is_lvis else ():
        if category.get("frequency") not in ("r", "c", "f"):
            yield Fault(
                "frequency is none of r, c, f",
                f"category {category.get('id')}: {category.get('frequency')!r}",
            )


def _image_faults(entries: list, image_root: str) -> Iterator[Fault]:
    yield from _entry_faults(entries, "images", ("id", "height", "width"))
    if not entries:
        yield Fault("no images", "the list is empty")
    if not os.path.isdir(image_root):
        yield Fault(
            "image folder is missing",
            f"{image_root} (set DETECTRON2_DATASETS to the folder above all data sets)",
        )
        return
    for image in (i for i in entries if isinstance(i, dict)):
        for key in ("height", "width"):
            if key in image and not _is_positive(image[key]):
                name = f"image {image.get('id')}"
                yield Fault("size is no positive number", f"{name}: {image[key]!r}")
        paths = [os.path.join(image_root, name) for name in _file_names(image)]
        if not paths:
            yield Fault("image has neither file_name nor coco_url", f"image {image.get('id')}")
        elif not any(map(os.path.isfile, paths)):
            yield Fault("picture is missing", " or ".join(paths))


def _annotation_faults(
    entries: list, images: Mapping, categories: Mapping, is_lvis: bool
) -> Iterator[Fault]:
    yield from _entry_faults(entries, "annotations", ("id", "image_id", "category_id", "bbox"))
    for annotation in (a for a in entries if isinstance(a, dict)):
        name = f"annotation {annotation.get('id')}"
        for key, known in (("image_id", images), ("category_id", categories)):
            if key in annotation and annotation[key] not in known:
                yield Fault(f"{key} is not in the file", f"{name}: {annotation[key]!r}")
        if is_lvis and isinstance(annotation.get("id"), int) and annotation["id"] < 1:
            yield Fault("annotation id is below 1, which the LVIS API passes over", name)
        image = images.get(annotation.get("image_id"), {})
        if "bbox" in annotation:
            yield from _box_faults(annotation["bbox"], image, name)
        yield from _segmentation_faults(annotation.get("segmentation"), image, name)


def _box_faults(box: Any, image: Mapping, name: str) -> Iterator[Fault]:
    if not (isinstance(box, list) and len(box) == 4 and all(_is_number(v) for v in box)):
        yield Fault("bbox is no list of four finite numbers", f"{name}: {box}")
        return
    x, y, width, height = box
    if width <= 0 or height <= 0:
        yield Fault("bbox has no area", f"{name}: {box}")
    elif _is_positive(image.get("width")) and _is_positive(image.get("height")):
        right, bottom = image["width"] + _SLACK, image["height"] + _SLACK
        if min(x, y) < -_SLACK or x + width > right or y + height > bottom:
            size = f"{image['width']} x {image['height']}"
            yield Fault("bbox leaves the picture", f"{name}: {box} in {size} pixels")


def _segmentation_faults(segmentation: Any, image: Mapping, name: str) -> Iterator[Fault]:
    if segmentation is None:
        return
    if isinstance(segmentation, dict):
        size = segmentation.get("size")
        if "counts" not in segmentation or not isinstance(size, list):
            yield Fault("RLE lacks size or counts", name)
        elif "height" in image and size != [image["height"], image.get("width")]:
            expected = [image["height"], image.get("width")]
            yield Fault("RLE has another size than its picture", f"{name}: {size} not {expected}")
    elif not isinstance(segmentation, list):
        yield Fault("segmentation is neither polygons nor RLE", f"{name}: {segmentation!r:.40}")
    elif not segmentation:
        yield Fault("segmentation is empty", name)
    else:
        for polygon in segmentation:
            if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
                yield Fault("polygon has no three points", f"{name}: {polygon!r:.60}")
            elif not all(_is_number(value) for value in polygon):
                yield Fault("polygon holds what is no finite number", f"{name}: {polygon!r:.60}")


def _federated_faults(entries: Mapping[str, list], categories: Mapping) -> Iterator[Fault]:
    present: dict[Any, set] = {}
    for annotation in (a for a in entries["annotations"] if isinstance(a, dict)):
        present.setdefault(annotation.get("image_id"), set()).add(annotation.get("category_id"))
    for image in (i for i in entries["images"] if isinstance(i, dict)):
        name, seen = f"image {image.get('id')}", present.get(image.get("id"), set())
        for key in ("neg_category_ids", "not_exhaustive_category_ids"):
            if key not in image and entries["annotations"]:
                yield Fault(f"image lacks {key}", name)
            for category_id in image.get(key, ()):
                if category_id not in categories:
                    yield Fault(f"{key} names no category of the file", f"{name}: {category_id}")
        for category_id in seen & set(image.get("neg_category_ids", ())):
            yield Fault("category is annotated and listed as absent", f"{name}: {category_id}")


def _file_names(image: Mapping) -> list[str]:
    """Where a picture may lie: by its name or, as in LVIS, by the end of its address."""
    names = []
    if "file_name" in image:
        name = str(image["file_name"])
        # LVIS v0.5 still has the COCO 2014 names; the pictures are those of 2017.
        names.append(name[-len("000000000000.jpg") :] if name.startswith("COCO_") else name)
    if "coco_url" in image:
        names.append(os.path.join(*str(image["coco_url"]).split("/")[-2:]))
    return names


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0
