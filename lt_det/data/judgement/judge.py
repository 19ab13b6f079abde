"""Decide what an annotation file means: the one judgement that every tool takes.

A *fault* has no safe reading; every tool refuses the file with the same list. A *note* was read in
the one safe way there is; every tool accepts it, and says so once.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lt_det.data.judgement.annotations import Context, judge_annotation
from lt_det.data.judgement.boxes import find_corners, find_other_units
from lt_det.data.judgement.categories import judge_categories
from lt_det.data.judgement.fault import Fault, refuse_faults
from lt_det.data.judgement.federated import judge_lists
from lt_det.data.judgement.findings import LEFT_OUT, Findings, Note
from lt_det.data.judgement.ids import dictionaries, number_annotations
from lt_det.data.judgement.images import complete_sizes, judge_images
from lt_det.data.judgement.suspects import Columns

__all__ = ["FORMATS", "IGNORE", "Judgement", "is_counted", "judge"]

FORMATS = ("coco", "lvis")
IGNORE = ("fault", "crowd")
_SECTIONS = ("images", "categories", "annotations")
# Classes that one note names.
_NUM_NAMED = 20


@dataclass(frozen=True)
class Judgement:
    """What a file means.

    Attributes:
        content: the file as every tool reads it: sections ``images``, ``categories`` and
            ``annotations`` (empty for a test set) with clean values, the others as they are. It
            shares what is unchanged with the parsed file. Only to be used without faults.
        faults: what has no safe reading.
        notes: what was read in the one safe way.
        data_format: "coco" or "lvis".
    """

    content: dict[str, Any]
    faults: list[Fault]
    notes: list[Note]
    data_format: str

    def refuse(self, path: str | os.PathLike) -> None:
        """Do nothing without faults.

        Raises:
            ValueError: naming the file, with a table of all faults.
        """
        refuse_faults(self.faults, path)


def is_counted(annotation: dict) -> bool:
    """Tell whether an annotation of a judged file counts: it is neither crowd nor ignored."""
    return not annotation.get("iscrowd") and not annotation.get("ignore")


def judge(content: Any, data_format: str, *, ignore: str = "fault") -> Judgement:
    """Judge the content of an annotation file.

    Args:
        content: the parsed JSON; it is not changed.
        data_format: "coco" or "lvis".
        ignore: what an object with ``ignore`` 1 is in the COCO format, "fault" or "crowd". In the
            LVIS format it is ignored, as the LVIS API does.

    Raises:
        ValueError: if `data_format` or `ignore` is unknown. What is wrong with the file is in the
            judgement's faults.
    """
    _check_choice("data_format", data_format, FORMATS)
    _check_choice("ignore", ignore, IGNORE)
    findings, is_lvis = Findings(), data_format == "lvis"
    if not isinstance(content, dict):
        findings.fault("file is no dictionary of sections", f"a {type(content).__name__}")
        return Judgement({}, findings.faults, [], data_format)
    sections = {name: _section(content, name, findings) for name in _SECTIONS}
    has_annotations = bool(sections["annotations"])
    categories = judge_categories(sections["categories"], is_lvis and has_annotations, findings)
    images = judge_images(sections["images"], findings)
    images = complete_sizes(images, sections["annotations"], findings)
    context = Context(
        {image["id"]: image for image in images},
        {category["id"] for category in categories},
        is_lvis,
        ignore == "crowd",
    )
    annotations = _judge_annotations(sections["annotations"], context, findings)
    if is_lvis:
        images = judge_lists(images, annotations, context.category_ids, findings)
    _find_nothing_left(len(sections["annotations"]), annotations, findings)
    _note_uncounted_classes(sections["annotations"], annotations, categories, findings)
    judged = {"images": images, "categories": categories, "annotations": annotations}
    return Judgement({**content, **judged}, findings.faults, findings.notes, data_format)


def _check_choice(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(known)}")


def _section(content: dict, name: str, findings: Findings) -> list:
    entries = content.get(name)
    if isinstance(entries, list):
        return entries
    if name not in content and name != "annotations":
        findings.fault("section is missing", name)
    elif entries is not None or name != "annotations":
        findings.fault("section is no list", name)
    return []


def _judge_annotations(entries: list, context: Context, findings: Findings) -> list[dict]:
    annotations = dictionaries(entries, "annotations", findings)
    new_ids = number_annotations(annotations, findings)
    columns = Columns.of(annotations, context)
    judged = list(annotations)
    for position in columns.suspects.nonzero()[0].tolist():
        judged[position] = judge_annotation(annotations[position], context, findings)
    if not find_other_units(columns.boxes, columns.sizes, findings):
        find_corners(annotations, findings)
    if new_ids is not None:
        judged = [a and {**a, "id": i} for a, i in zip(judged, new_ids, strict=True)]
    return [annotation for annotation in judged if annotation is not None]


def _find_nothing_left(number: int, annotations: list[dict], findings: Findings) -> None:
    """Refuse a file whose annotations are all left out: it would look like a test set's."""
    if number and not annotations and not findings.faults:
        reasons = "; ".join(note.kind for note in findings.notes if LEFT_OUT in note.kind)
        findings.fault("no annotation is left", f"all {number}: {reasons}")


def _note_uncounted_classes(
    entries: list, annotations: list[dict], categories: list[dict], findings: Findings
) -> None:
    """Note classes that have annotations, of which none counts; all of them in one example."""
    counted = {a["category_id"] for a in annotations if is_counted(a)}
    uncounted = [c for c in categories if c["id"] not in counted]
    if findings.faults or not uncounted:
        return
    present = Counter(annotation["category_id"] for annotation in entries)
    names = [f"{c['name']} ({n} of {n})" for c in uncounted if (n := present[c["id"]])]
    if names:
        more = f" and {len(names) - _NUM_NAMED} more" if len(names) > _NUM_NAMED else ""
        findings.note(
            "class whose objects are all crowds, ignored or left out",
            ", ".join(names[:_NUM_NAMED]) + more,
            len(names),
        )
