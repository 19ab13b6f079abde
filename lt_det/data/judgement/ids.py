"""Judge the entries of a section and their ids.

Ids of images and categories are referred to. They are integers of at most 64 bits, or text, and
stay as they are. An id of an annotation only has to be unique.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from lt_det.data.judgement.findings import Findings
from lt_det.data.judgement.values import LARGEST_ID, MISSING, SMALLEST_ID, values_of, whole

__all__ = ["dictionaries", "judge_ids", "number_annotations"]

# The APIs keep annotation ids as float64, which holds integers up to here.
_LARGEST_EXACT = 2**53


def dictionaries(entries: list, section: str, findings: Findings) -> list[dict]:
    """Give the entries that are dictionaries; the others are faults."""
    if set(map(type, entries)) <= {dict}:
        return entries
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):
            findings.fault(
                f"entry of {section} is no dictionary", f"number {position}: {entry!r:.60}"
            )
    return [entry for entry in entries if isinstance(entry, dict)]


def judge_ids(entries: list[dict], section: str, findings: Findings) -> list[dict]:
    """Judge ids that other entries refer to.

    Args:
        entries: dictionaries.
        section: for messages.
        findings: faults and notes are added here.

    Returns:
        The entries that have a valid id, whole decimals turned into integers.
    """
    ids = [entry.get("id", MISSING) for entry in entries]
    types = set(map(type, ids))
    if types <= {str} or (types == {int} and SMALLEST_ID <= min(ids) and max(ids) <= LARGEST_ID):
        valid = entries
    else:
        valid = _with_valid_ids(entries, section, findings)
    _find_mixed(valid, section, findings)
    _find_duplicates([entry["id"] for entry in valid], section, findings)
    return valid


def number_annotations(entries: list[dict], findings: Findings) -> list[int] | None:
    """Judge annotation ids.

    Returns:
        New ids, if they are to be numbered anew; None if they can stay.
    """
    ids = values_of(entries, "id")
    if set(map(type, ids)) <= {int} and ids and 0 < min(ids) and max(ids) <= _LARGEST_EXACT:
        _find_duplicates(ids, "annotations", findings)
        return None
    known, odd, has_decimals = [], [], False
    for position, value in enumerate(ids):
        number = whole(value)
        if value is MISSING or (number is None and not isinstance(value, str)):
            _fault_of_id(value, position, "annotations", findings)
        else:
            known.append(value if number is None else number)
            has_decimals |= isinstance(value, float)
            if number is None or not 0 < number <= _LARGEST_EXACT:
                odd.append(value)
    _find_duplicates(known, "annotations", findings)
    if not odd and not has_decimals:
        return None
    if odd:
        findings.note(
            "annotation id is text, below 1 or huge, which the official APIs cannot take: all "
            "annotations are numbered anew from 1",
            f"{odd[0]!r:.40}",
            len(odd),
        )
        return list(range(1, len(ids) + 1))
    findings.note(
        "id is a whole decimal in annotations: read as an integer",
        f"{next(i for i in ids if isinstance(i, float))!r}",
        sum(isinstance(i, float) for i in ids),
    )
    return [whole(value) for value in ids]


def _with_valid_ids(entries: list[dict], section: str, findings: Findings) -> list[dict]:
    valid = []
    for position, entry in enumerate(entries):
        value = entry.get("id", MISSING)
        number = whole(value)
        if isinstance(value, str):
            valid.append(entry)
        elif value is MISSING or number is None:
            _fault_of_id(value, position, section, findings)
        elif not SMALLEST_ID <= number <= LARGEST_ID:
            findings.fault(f"id has more than 64 bits in {section}", f"{value!r:.60}")
        elif isinstance(value, float):
            findings.note(f"id is a whole decimal in {section}: read as an integer", f"{value!r}")
            valid.append({**entry, "id": number})
        else:
            valid.append(entry)
    return valid


def _fault_of_id(value: Any, position: int, section: str, findings: Findings) -> None:
    if value is MISSING:
        findings.fault(f"entry of {section} lacks keys", f"number {position}: id")
        return
    findings.fault(
        f"id is neither number nor text in {section}", f"number {position}: {value!r:.40}"
    )


def _find_mixed(entries: list[dict], section: str, findings: Findings) -> None:
    if len(set(map(type, (entry["id"] for entry in entries)))) > 1:
        text = next(entry["id"] for entry in entries if isinstance(entry["id"], str))
        findings.fault(f"ids are numbers and text in {section}", f"such as {text!r}")


def _find_duplicates(ids: list, section: str, findings: Findings) -> None:
    if len(set(ids)) == len(ids):
        return
    for entry_id, count in Counter(ids).items():
        if count > 1:
            findings.fault(f"id occurs more than once in {section}", f"{entry_id}, {count} times")
