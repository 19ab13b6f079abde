"""Judge the categories of a file: names, and the frequency of the LVIS format."""

from __future__ import annotations

from collections import Counter

from lt_det.data.judgement.findings import Findings
from lt_det.data.judgement.ids import dictionaries, judge_ids
from lt_det.data.judgement.values import MISSING

__all__ = ["FREQUENCIES", "judge_categories"]

FREQUENCIES = ("r", "c", "f")


def judge_categories(entries: list, needs_frequency: bool, findings: Findings) -> list[dict]:
    """Judge the section.

    Args:
        entries: the section.
        needs_frequency: whether the format is LVIS's and there are annotations to evaluate.
        findings: faults and notes are added here.
    """
    if not entries:
        findings.fault("no categories", "the list is empty")
    categories = dictionaries(entries, "categories", findings)
    categories = [_judge_name(category, findings) for category in categories]
    for name, count in Counter(str(c.get("name")) for c in categories if "name" in c).items():
        if count > 1:
            findings.note(
                "two categories of one name: told apart by their ids", f"{name}, {count} times"
            )
    for category in categories if needs_frequency else ():
        frequency = category.get("frequency")
        if not isinstance(frequency, str) or frequency not in FREQUENCIES:
            where = f"category {category.get('id')}: {frequency!r:.40}"
            findings.fault("frequency is none of r, c, f", where)
    return judge_ids(categories, "categories", findings)


def _judge_name(category: dict, findings: Findings) -> dict:
    name = category.get("name", MISSING)
    if isinstance(name, str):
        return category
    if name is MISSING:
        findings.fault("entry of categories lacks keys", f"{category.get('id')}: name")
    elif isinstance(name, (int, float)) and not isinstance(name, bool):
        findings.note("name of a category is a number: read as text", f"{name!r}")
        return {**category, "name": str(name)}
    else:
        findings.fault("name of a category is no text", f"{category.get('id')}: {name!r:.40}")
    return category
