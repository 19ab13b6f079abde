"""Every fault of an annotation file at once, in words a user can act on.

Loaders stop at the first thing that is wrong. Here the file is searched to its end, so that a user
mends it once. Pictures are looked for, and not opened.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from lt_det.data.images.missing import MissingImageHints
from lt_det.data.inspection.fault import Fault, is_id, is_positive
from lt_det.data.inspection.object_faults import box_faults, mask_faults, normalised_faults
from lt_det.data.inspection.picture_files import is_picture_file, is_picture_folder
from lt_det.data.inspection.requirements import Needs

__all__ = ["find_faults", "picture_paths"]

_SECTIONS = ("images", "categories", "annotations")


def find_faults(
    content: Any, image_root: str, *, is_lvis: bool = False, needs: Needs | None = None
) -> Iterator[Fault]:
    """Search an annotation file's content.

    Args:
        content: the parsed JSON.
        image_root: folder of the pictures.
        is_lvis: check what LVIS's format has beyond COCO's too.
        needs: what the file is for.

    Yields:
        Faults, in the order of the file's sections.
    """
    needs = needs or Needs()
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
    images, categories = _by_id(entries["images"]), _by_id(entries["categories"])
    yield from _category_faults(entries["categories"], is_lvis, needs.num_classes)
    yield from _image_faults(entries["images"], image_root)
    if not entries["annotations"]:
        yield from _emptiness_faults(content, needs)
    yield from _annotation_faults(entries["annotations"], images, categories, is_lvis, needs)
    if is_lvis:
        yield from _federated_faults(entries, categories)


def picture_paths(image: Mapping, image_root: str) -> list[str]:
    """Where a picture may lie: by its name or, as in LVIS, by the end of its address."""
    names = []
    if "file_name" in image:
        name = str(image["file_name"])
        # LVIS v0.5 still has the COCO 2014 names; the pictures are those of 2017.
        names.append(name[-len("000000000000.jpg") :] if name.startswith("COCO_") else name)
    if "coco_url" in image:
        names.append(os.path.join(*str(image["coco_url"]).split("/")[-2:]))
    return [os.path.join(image_root, name) for name in names]


def _by_id(entries: list) -> dict[Any, dict]:
    return {e["id"]: e for e in entries if isinstance(e, dict) and is_id(e.get("id"))}


def _emptiness_faults(content: Mapping, needs: Needs) -> Iterator[Fault]:
    """A file that lists pictures alone is a test set's, unless it is trained on."""
    looks_like_test_set = "annotations" not in content
    if needs.is_training or (needs.is_training is None and not looks_like_test_set):
        yield Fault("no annotations", "there is nothing to train on")


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
        if "id" in entry and not is_id(entry["id"]):
            yield Fault(
                f"id is neither number nor text in {section}",
                f"number {position}: {entry['id']!r:.40}",
            )
        elif "id" in entry:
            ids[entry["id"]] += 1
    if len({isinstance(entry_id, str) for entry_id in ids}) > 1:
        text = next(entry_id for entry_id in ids if isinstance(entry_id, str))
        yield Fault(f"ids are numbers and text in {section}", f"such as {text!r}")
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
    if not is_picture_folder(image_root):
        yield Fault(
            "image folder is missing",
            f"{image_root} (set DETECTRON2_DATASETS to the folder above all data sets)",
        )
        return
    hints = MissingImageHints(image_root)
    for image in (i for i in entries if isinstance(i, dict)):
        for key in ("height", "width"):
            if key in image and not is_positive(image[key]):
                name = f"image {image.get('id')}"
                yield Fault("size is no positive number", f"{name}: {image[key]!r}")
        paths = picture_paths(image, image_root)
        if not paths:
            yield Fault("image has neither file_name nor coco_url", f"image {image.get('id')}")
        elif not any(map(is_picture_file, paths)):
            hint = hints.hint(os.path.relpath(paths[0], image_root))
            where = " or ".join(paths)
            yield Fault("picture is missing", f"{where} ({hint})" if hint else where)


def _annotation_faults(
    entries: list, images: Mapping, categories: Mapping, is_lvis: bool, needs: Needs
) -> Iterator[Fault]:
    yield from _entry_faults(entries, "annotations", ("id", "image_id", "category_id", "bbox"))
    for annotation in (a for a in entries if isinstance(a, dict)):
        name = f"annotation {annotation.get('id')}"
        for key, known in (("image_id", images), ("category_id", categories)):
            if key in annotation and not (is_id(annotation[key]) and annotation[key] in known):
                yield Fault(f"{key} is not in the file", f"{name}: {annotation[key]!r}")
        if is_lvis and isinstance(annotation.get("id"), int) and annotation["id"] < 1:
            yield Fault("annotation id is below 1, which the LVIS API passes over", name)
        image_id = annotation.get("image_id")
        image = images.get(image_id, {}) if is_id(image_id) else {}
        if "bbox" in annotation:
            yield from box_faults(annotation["bbox"], image, name)
        yield from mask_faults(annotation, image, needs, name)
    yield from normalised_faults(entries)


def _federated_faults(entries: Mapping[str, list], categories: Mapping) -> Iterator[Fault]:
    present: dict[Any, set] = {}
    for annotation in (a for a in entries["annotations"] if isinstance(a, dict)):
        if is_id(annotation.get("image_id")) and is_id(annotation.get("category_id")):
            present.setdefault(annotation["image_id"], set()).add(annotation["category_id"])
    for image in (i for i in entries["images"] if isinstance(i, dict)):
        name, lists = f"image {image.get('id')}", {}
        for key in ("neg_category_ids", "not_exhaustive_category_ids"):
            lists[key] = image.get(key, [])
            if key not in image and entries["annotations"]:
                yield Fault(f"image lacks {key}", name)
            elif not (isinstance(lists[key], list) and all(map(is_id, lists[key]))):
                yield Fault(f"{key} is no list of ids", f"{name}: {lists[key]!r:.40}")
                lists[key] = []
            for category_id in lists[key]:
                if category_id not in categories:
                    yield Fault(f"{key} names no category of the file", f"{name}: {category_id}")
        seen = present.get(image["id"], set()) if is_id(image.get("id")) else set()
        for category_id in seen & set(lists["neg_category_ids"]):
            yield Fault("category is annotated and listed as absent", f"{name}: {category_id}")
