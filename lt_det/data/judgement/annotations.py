"""Judge one annotation: the definition that :mod:`suspects` has a fast path for.

``iscrowd`` and ``ignore`` mean other things in each format. The COCO API reads ``iscrowd`` alone:
it overwrites ``ignore``. The LVIS API reads ``ignore`` alone. A crowd of an LVIS-format file is an
ignored object, so that no tool counts it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from lt_det.data.judgement.boxes import judge_box
from lt_det.data.judgement.findings import Findings
from lt_det.data.judgement.masks import judge_mask
from lt_det.data.judgement.values import LARGEST_AREA, MISSING, decimal, is_id, whole

__all__ = ["REQUIRED", "Context", "judge_annotation", "judge_flag"]

REQUIRED = ("image_id", "category_id", "bbox")
_TEXTS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}


@dataclass(frozen=True)
class Context:
    """What an annotation is judged against.

    Attributes:
        images: id -> judged image.
        category_ids: ids of the judged categories.
        is_lvis: whether the format is LVIS's.
        ignored_is_crowd: see `judge`: whether an ignored object of the COCO format is a crowd.
    """

    images: Mapping[Any, dict]
    category_ids: Collection[Any]
    is_lvis: bool
    ignored_is_crowd: bool


def judge_annotation(annotation: dict, context: Context, findings: Findings) -> dict | None:
    """Judge an annotation, whose id is judged elsewhere.

    Args:
        annotation: the entry, which is not changed.
        context: what it refers to.
        findings: faults and notes are added here.

    Returns:
        The annotation as it is to be read, the same object if nothing differs; None if it is left
        out, or has a fault.
    """
    name = f"annotation {annotation.get('id')}"
    missing = [key for key in REQUIRED if key not in annotation]
    if missing:
        where = f"{annotation.get('id')}: {', '.join(missing)}"
        findings.fault("entry of annotations lacks keys", where)
    values = {
        "image_id": _judge_reference("image_id", annotation, context.images, name, findings),
        "category_id": _judge_reference(
            "category_id", annotation, context.category_ids, name, findings
        ),
    }
    image_id = values["image_id"]
    image = context.images.get(image_id, {}) if is_id(image_id) else {}
    is_kept = "bbox" in annotation and judge_box(annotation["bbox"], image, name, findings)
    is_kept = is_kept and MISSING not in values.values()
    values |= _judge_flags(annotation, context.is_lvis, context.ignored_is_crowd, name, findings)
    values["area"] = _judge_area(annotation.get("area", MISSING), context.is_lvis, name, findings)
    mask = judge_mask(annotation.get("segmentation", MISSING), image, name, findings)
    values["segmentation"] = mask
    return _with_values(annotation, values) if is_kept and mask is not None else None


def _judge_reference(
    key: str, annotation: dict, known: Collection, name: str, findings: Findings
) -> Any:
    """Give the id that is referred to; `MISSING` if there is none, or it is not known."""
    value = annotation.get(key, MISSING)
    if value is MISSING:
        return MISSING
    number = whole(value)
    read = value if number is None else number
    if not is_id(read) or read not in known:
        findings.fault(f"{key} is not in the file", f"{name}: {value!r:.40}")
        return MISSING
    if isinstance(value, float):
        findings.note(f"{key} is a whole decimal: read as an integer", f"{name}: {value!r}")
    return read


def _judge_area(value: Any, is_lvis: bool, name: str, findings: Findings) -> Any:
    if value is MISSING:
        return MISSING
    if value is None:
        findings.note("area is null: taken from the mask, or from the box without one", name)
        return MISSING
    area = decimal(value)
    if area is None or not 0 <= area <= LARGEST_AREA:
        findings.fault("area is no finite number from 0 to 1e10", f"{name}: {value!r:.40}")
        return MISSING
    if isinstance(value, str):
        findings.note("area is text: read as a number", f"{name}: {value!r}")
    if is_lvis and area == 0:
        findings.note("area is 0: the LVIS API passes over such objects", name)
    return area


def _judge_flags(
    annotation: dict, is_lvis: bool, ignored_is_crowd: bool, name: str, findings: Findings
) -> dict[str, int]:
    """Judge the flags of an annotation.

    Args:
        annotation: the entry.
        is_lvis: whether the format is LVIS's.
        ignored_is_crowd: whether an ignored object of the COCO format is taken as a crowd.
        name: of the annotation, for messages.
        findings: faults and notes are added here.

    Returns:
        What the flags are to be; flags that are not in it are missing.
    """
    flags = {}
    for key in ("iscrowd", "ignore"):
        value = annotation.get(key, MISSING)
        if value is not MISSING:
            flags[key] = judge_flag(key, value, name, findings)
    if is_lvis:
        return _flags_of_lvis(flags, name, findings)
    if flags.get("ignore"):
        if not ignored_is_crowd:
            findings.fault(
                "ignore is 1, which the COCO API does not read (--ignore crowd, or DATASETS.IGNORE "
                "crowd, takes such objects as crowds)",
                name,
            )
        else:
            findings.note("ignore is 1: taken as a crowd", name)
            flags["iscrowd"] = 1
    flags.pop("ignore", None)
    return flags


def _flags_of_lvis(flags: dict[str, int], name: str, findings: Findings) -> dict[str, int]:
    if flags.get("iscrowd"):
        findings.note(
            "iscrowd is 1 in the LVIS format: neither trained on nor counted, and ignored in the "
            "evaluation, for the LVIS API reads ignore alone",
            name,
        )
        return {"ignore": 1}
    if flags.get("ignore"):
        findings.note("ignore is 1: neither trained on nor counted; the LVIS API ignores it", name)
    return flags


def judge_flag(key: str, value: Any, name: str, findings: Findings) -> int:
    """Judge a value of ``iscrowd`` or ``ignore``: 0 or 1."""
    if type(value) is int and value in (0, 1):
        return value
    if value is None:
        findings.note(f"{key} is null: read as 0", name)
        return 0
    number = _TEXTS.get(value.strip()) if isinstance(value, str) else value
    if isinstance(number, (bool, int, float)) and number in (0, 1):
        findings.note(
            f"{key} is a truth value, decimal or text: read as 0 or 1", f"{name}: {value!r}"
        )
        return int(number)
    findings.fault(f"{key} is neither 0 nor 1", f"{name}: {value!r:.40}")
    return 0


def _with_values(annotation: dict, values: Mapping[str, Any]) -> dict:
    """Give the annotation with these values, without those that are `MISSING`."""
    flags = [key for key in ("iscrowd", "ignore") if key not in values]
    gone = {key for key, value in values.items() if value is MISSING} | set(flags)
    changed = {
        key: value
        for key, value in values.items()
        if value is not MISSING and annotation.get(key, MISSING) is not value
    }
    if not changed and not gone & annotation.keys():
        return annotation
    return {key: value for key, value in (annotation | changed).items() if key not in gone}
