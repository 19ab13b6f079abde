"""Annotation files in the COCO family of formats (COCO, LVIS): reading, and standard dicts.

Detectron2's own LVIS loader takes ``category_id - 1`` as the class, wants polygons and ``coco_url``
and insists on "v1" or "v0.5" in the name. This one maps ids, reads ``file_name`` too and keeps RLE
masks (set ``INPUT.MASK_FORMAT: bitmask`` for them).
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import log_first_n

from lt_det.data.datasets.instances import MalformedError, describe_dropped, instances_of
from lt_det.data.datasets.record_source import RecordSource
from lt_det.utils.json_file import load_json

__all__ = [
    "announce_facts",
    "class_of",
    "contiguous_classes",
    "naming_the_file",
    "read_annotation_file",
    "register_annotation_file",
    "standard_records",
]


def register_annotation_file(
    name: str, json_file: str, image_root: str, evaluator_type: str, read: Callable, metadata: dict
) -> None:
    """Register a data set that is the whole of one annotation file; nothing is read.

    Args:
        name: the data set's name.
        json_file: annotation file.
        image_root: folder of its pictures.
        evaluator_type: "coco" or "lvis".
        read: (json_file, image_root, name) -> records and facts, of :func:`standard_records`.
        metadata: more values for the data set's MetadataCatalog entry.
    """
    json_file, image_root = os.fspath(json_file), os.fspath(image_root)
    source = RecordSource(
        kind=evaluator_type,
        json_file=json_file,
        image_root=image_root,
        read=functools.partial(read, json_file, image_root, name),
        announce=lambda facts: announce_facts(facts, json_file, name),
    )
    DatasetCatalog.register(name, source)
    MetadataCatalog.get(name).set(
        json_file=json_file,
        image_root=image_root,
        evaluator_type=evaluator_type,
        # All of the file and nothing else: its content identifies the set's statistics.
        is_whole_json_file=True,
        **metadata,
    )


def contiguous_classes(content: dict, json_file: str) -> dict[int, int]:
    """Category id -> class in [0, K), in the order of the ids.

    Raises:
        ValueError: if an id occurs twice.
    """
    ids = _unique_ids(content["categories"], "categories", json_file)
    return {category_id: index for index, category_id in enumerate(sorted(ids))}


def standard_records(
    content: dict, json_file: str, image_root: str, has_names: bool = True
) -> tuple[list[dict], dict]:
    """Detectron2's standard dicts of a file's content, one an image, sorted by image id.

    What teaches nothing is dropped (:mod:`lt_det.data.datasets.instances`).

    Args:
        content: of :func:`read_annotation_file`.
        json_file: for messages.
        image_root: folder that ``file_name`` (or the end of ``coco_url``) is relative to.
        has_names: False if the names of the classes do not matter.

    Returns:
        The records, and what :func:`announce_facts` tells beside them.

    Raises:
        ValueError: if an id occurs twice or an annotation refers to what does not exist.
    """
    id_map = contiguous_classes(content, json_file)
    known = _unique_ids(content["images"], "images", json_file)
    annotations = defaultdict(list)
    for annotation in content.get("annotations", ()):
        annotations[annotation["image_id"]].append(annotation)
    unknown = set(annotations) - set(known)
    if unknown:
        raise ValueError(f"{json_file}: annotations of unknown image ids {sorted(unknown)[:10]}")
    dropped = Counter()
    records = [
        _record(image, annotations[image["id"]], image_root, id_map, json_file, dropped)
        for image in sorted(content["images"], key=lambda image: image["id"])
    ]
    names = {c["id"]: c["name"] if has_names else None for c in content["categories"]}
    return records, {
        "classes": [names[category_id] for category_id in id_map],
        "category_ids": list(id_map),
        "dropped": dropped,
    }


def announce_facts(facts: dict, json_file: str, dataset_name: str | None) -> None:
    """Tell what is known of a file beside its records.

    Args:
        facts: of :func:`standard_records`.
        json_file: the file.
        dataset_name: where to put ``thing_classes`` and ``thing_dataset_id_to_contiguous_id``.
    """
    if dataset_name is not None:
        MetadataCatalog.get(dataset_name).set(
            thing_classes=facts["classes"],
            thing_dataset_id_to_contiguous_id={i: c for c, i in enumerate(facts["category_ids"])},
        )
    if facts["dropped"]:
        _warn_of_dropped(Counter(facts["dropped"]), json_file, dataset_name)


def read_annotation_file(json_file: str) -> dict:
    """Read a JSON annotation file with ``images`` and ``categories``.

    Raises:
        FileNotFoundError: naming the file and the variable that moves it.
        ValueError: if it is broken.
    """
    path = PathManager.get_local_path(json_file)
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"Annotation file not found: {path}. Check the path, or set DETECTRON2_DATASETS to "
            "the folder that holds the data sets (OpenMoji sets: run tools/make_openmoji.py first)"
        )
    content = load_json(path)
    missing = {"images", "categories"} - set(content if isinstance(content, dict) else ())
    if missing:
        raise ValueError(
            f"{path} is not a COCO- or LVIS-format annotation file: it lacks {sorted(missing)}"
        )
    return content


@contextlib.contextmanager
def naming_the_file(json_file: str, dataset_name: str | None) -> Iterator[None]:
    """Where a file's entries are read: turns what they lack into an error that names the file.

    Raises:
        ValueError: if an entry lacks a key or holds something of another kind than expected.
    """
    try:
        yield
    except KeyError as error:
        raise ValueError(
            f"{json_file} is broken: an entry lacks {error}. {_advice(dataset_name)}"
        ) from error
    except (MalformedError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{json_file} is broken: {error}. {_advice(dataset_name)}") from error


def class_of(category_id: int, id_map: dict[int, int], image: dict, json_file: str) -> int:
    """The class of a category id that an image refers to.

    Raises:
        ValueError: naming the image, if the file has no such category.
    """
    if category_id not in id_map:
        raise ValueError(
            f"{json_file}: image {image['id']} refers to category {category_id!r}, which is not "
            "among the file's categories"
        )
    return id_map[category_id]


def _warn_of_dropped(dropped: Counter, json_file: str, dataset_name: str | None) -> None:
    message = (
        f"{json_file}: left out {describe_dropped(dropped)}. They are neither trained on nor "
        f"counted; evaluation reads the file itself. {_advice(dataset_name)}"
    )
    # A file is loaded several times in a training.
    log_first_n(logging.WARNING, message, key="message", name=__name__)


def _advice(dataset_name: str | None) -> str:
    command = f"`python tools/inspect_dataset.py {dataset_name or 'NAME'}`"
    return f"{command} lists everything that is wrong with the file"


def _unique_ids(entries: list[dict], section: str, source: str) -> Counter:
    ids = Counter(entry["id"] for entry in entries)
    repeated = sorted(entry_id for entry_id, count in ids.items() if count > 1)
    if repeated:
        raise ValueError(f"{source}: ids {repeated[:10]} occur more than once in {section!r}")
    return ids


def _record(image: dict, annotations: list[dict], image_root: str, id_map: dict, source, dropped):
    classes = [class_of(a["category_id"], id_map, image, source) for a in annotations]
    return {
        "file_name": os.path.join(image_root, _file_name(image, source)),
        "image_id": image["id"],
        "height": image["height"],
        "width": image["width"],
        "annotations": instances_of(image, annotations, classes, dropped),
    }


def _file_name(image: dict, source: str) -> str:
    """``file_name``, or LVIS v1's ``coco_url``, whose last two parts are folder and file.

    LVIS v0.5 still has the COCO 2014 names; the pictures are those of 2017, named by id alone.
    """
    if "file_name" in image:
        name = image["file_name"]
        return name[-len("000000000000.jpg") :] if name.startswith("COCO_") else name
    if "coco_url" in image:
        return os.path.join(*image["coco_url"].split("/")[-2:])
    raise ValueError(f"{source}: image {image['id']} has neither file_name nor coco_url")
