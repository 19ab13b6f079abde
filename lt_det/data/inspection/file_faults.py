"""Every fault of an annotation file at once, in words a user can act on.

What the file means is judged as everywhere (:mod:`lt_det.data.judgement.judge`). Here is what only
an inspection asks beside: whether its images are there, and what a config needs of it. Images are
looked for, and not opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from lt_det.data.inspection.picture_files import is_picture_file, is_picture_folder
from lt_det.data.inspection.requirements import Needs
from lt_det.data.judgement.fault import Fault
from lt_det.data.judgement.judge import Judgement, judge

__all__ = ["faults_beside", "find_faults", "picture_paths"]


def find_faults(
    content: Any,
    image_root: str,
    *,
    is_lvis: bool = False,
    needs: Needs | None = None,
    ignore: str = "fault",
) -> Iterator[Fault]:
    """Search an annotation file's content.

    Args:
        content: the parsed JSON.
        image_root: folder of the images.
        is_lvis: whether the format is LVIS's.
        needs: what the file is for.
        ignore: see :func:`lt_det.data.judgement.judge.judge`.

    Yields:
        The faults of the judgement, then those that are asked for beside it.
    """
    judgement = judge(content, "lvis" if is_lvis else "coco", ignore=ignore)
    yield from judgement.faults
    yield from faults_beside(judgement, content, image_root, needs or Needs())


def faults_beside(
    judgement: Judgement, content: Any, image_root: str, needs: Needs
) -> Iterator[Fault]:
    """Search for what is not the judgement's business: image files, and needs of a config.

    Args:
        judgement: of the file.
        content: what was judged.
        image_root: folder of the images.
        needs: what the file is for.
    """
    if not judgement.content:
        return
    categories = judgement.content["categories"]
    if needs.num_classes is not None and needs.num_classes != len(categories):
        yield Fault(
            "MODEL.ROI_HEADS.NUM_CLASSES differs from the file",
            f"{needs.num_classes} against {len(categories)} categories",
        )
    yield from _image_faults(judgement.content["images"], image_root)
    yield from _emptiness_faults(judgement, content, needs)
    if not judgement.faults:
        for annotation in judgement.content["annotations"]:
            yield from _mask_faults(annotation, needs)


def picture_paths(image: Mapping, image_root: str) -> list[str]:
    """Where an image may lie: by its name or, as in LVIS, by the end of its address."""
    names = []
    if isinstance(image.get("file_name"), str):
        names.append(image["file_name"])
    if isinstance(image.get("coco_url"), str):
        names.append(os.path.join(*image["coco_url"].split("/")[-2:]))
    return [os.path.join(image_root, name) for name in names]


def _image_faults(images: list[dict], image_root: str) -> Iterator[Fault]:
    if not is_picture_folder(image_root):
        yield Fault(
            "image folder is missing",
            f"{image_root} (set DETECTRON2_DATASETS to the folder above all data sets)",
        )
        return
    for image in images:
        paths = picture_paths(image, image_root)
        if not paths:
            yield Fault("image has neither file_name nor coco_url", f"image {image['id']}")
        elif not any(map(is_picture_file, paths)):
            yield Fault("picture is missing", " or ".join(paths))


def _emptiness_faults(judgement: Judgement, content: Mapping, needs: Needs) -> Iterator[Fault]:
    """A file that lists images alone is a test set's, unless it is trained on."""
    annotations = judgement.content["annotations"]
    if not isinstance(content.get("annotations"), list | None):
        return  # a fault of the judgement
    if not content.get("annotations"):
        looks_like_test_set = content.get("annotations") is None
        if needs.is_training or (needs.is_training is None and not looks_like_test_set):
            yield Fault("no annotations", "there is nothing to train on")
    elif needs.is_training and not judgement.faults and not any(map(_is_trained_on, annotations)):
        yield Fault(
            "no object to train on", describe_untrained(annotations, len(content["annotations"]))
        )


def describe_untrained(annotations: list[dict], number: int) -> str:
    """Say why none of so many objects is trained on."""
    crowds = sum(bool(a.get("iscrowd")) for a in annotations)
    ignored = sum(bool(a.get("ignore")) for a in annotations)
    parts = {"iscrowd": crowds, "ignore": ignored, "left out": number - len(annotations)}
    named = [f"{n} are {what}" for what, n in parts.items() if n]
    return f"of {number} objects {', '.join(named)}"


def _is_trained_on(annotation: Mapping) -> bool:
    return not annotation.get("iscrowd") and not annotation.get("ignore")


def _mask_faults(annotation: Mapping, needs: Needs) -> Iterator[Fault]:
    if not needs.masks or not _is_trained_on(annotation):
        return
    name = f"annotation {annotation['id']}"
    if "segmentation" not in annotation:
        yield Fault("annotation has no segmentation, but MODEL.MASK_ON is True", name)
    elif needs.polygons and isinstance(annotation["segmentation"], dict):
        yield Fault("RLE masks need INPUT.MASK_FORMAT bitmask", name)
