"""Read an annotation file and judge it, in one step."""

from __future__ import annotations

import os
from typing import Any

from lt_det.data.judgement.findings import Note
from lt_det.data.judgement.judge import Judgement, judge
from lt_det.utils.json_file import read_json

__all__ = ["guess_format", "read_content", "read_judged"]

_SECTIONS = ("images", "categories")


def read_judged(
    json_file: str | os.PathLike, data_format: str | None = None, *, ignore: str = "fault"
) -> Judgement:
    """Read and judge an annotation file.

    Args:
        json_file: path of the file.
        data_format: "coco", "lvis", or None to tell by the file.
        ignore: see :func:`judge`.

    Returns:
        The judgement; call its ``refuse(json_file)`` before its content is used.

    Raises:
        FileNotFoundError: naming the file and the variable that moves it.
        ValueError: if the file is not JSON, or has no images and categories.
    """
    content, notes = read_content(json_file)
    if data_format is None:
        data_format, warning = guess_format(content)
        notes += [Note(warning, 1, (os.fspath(json_file),))] if warning else []
    judgement = judge(content, data_format, ignore=ignore)
    return Judgement(
        judgement.content, judgement.faults, notes + judgement.notes, judgement.data_format
    )


def read_content(json_file: str | os.PathLike) -> tuple[dict, list[Note]]:
    """Read an annotation file that is not judged yet.

    Returns:
        Its content, and notes about its encoding.

    Raises:
        FileNotFoundError, ValueError: see :func:`read_judged`.
    """
    if not os.path.isfile(json_file):
        raise FileNotFoundError(
            f"Annotation file not found: {json_file}. Check the path, or set DETECTRON2_DATASETS "
            "to the folder that holds the data sets (OpenMoji sets: run tools/make_openmoji.py "
            "first)"
        )
    content, encoding = read_json(json_file)
    missing = set(_SECTIONS) - set(content if isinstance(content, dict) else ())
    if missing:
        raise ValueError(
            f"{json_file} is not a COCO- or LVIS-format annotation file: it lacks {sorted(missing)}"
        )
    notes = [Note(f"file is {encoding}: decoded", 1, (os.fspath(json_file),))] if encoding else []
    return content, notes


def guess_format(content: Any) -> tuple[str, str]:
    """Choose the format of a parsed file.

    Only the images of LVIS list the classes that they verifiably lack.

    Returns:
        "lvis" or "coco", and a warning: "" unless only half of the LVIS format is there.
    """
    if any("neg_category_ids" in image for image in _entries(content, "images")):
        return "lvis", ""
    if any("frequency" in category for category in _entries(content, "categories")):
        return "coco", (
            "its categories have a frequency, as in the LVIS format, but its images have no "
            "neg_category_ids: it is read as COCO, where every image is annotated for all classes. "
            "Give --format lvis if that is wrong"
        )
    return "coco", ""


def _entries(content: Any, section: str) -> list[dict]:
    entries = content.get(section) if isinstance(content, dict) else None
    return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []
