"""Every fault of a results file at once, in words a user can act on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from lt_det.data.judgement.boxes import is_box
from lt_det.data.judgement.fault import Fault
from lt_det.data.judgement.findings import Findings
from lt_det.data.judgement.masks import judge_rle
from lt_det.data.judgement.values import is_id, is_number, whole

__all__ = ["find_result_faults", "object_keys"]

_OBJECT_KEYS = ("bbox", "segmentation")


def object_keys(entries: Sequence) -> tuple[str, ...]:
    """Which of ``bbox`` and ``segmentation`` any entry has, and so all must have."""
    given = (k for k in _OBJECT_KEYS if any(isinstance(e, dict) and _has(e, k) for e in entries))
    return tuple(given) or _OBJECT_KEYS[:1]


def _has(entry: Mapping, key: str) -> bool:
    """An empty list stands for no box, or no mask."""
    return entry.get(key) not in (None, [])


def find_result_faults(
    entries: Sequence,
    image_sizes: Mapping[Any, tuple[int, int] | None],
    category_ids: Collection[Any],
) -> Iterator[Fault]:
    """Search the entries of a results file.

    Args:
        entries: the parsed JSON list.
        image_sizes: height, width of each image of the ground truth, by its id; None where the
            file does not say.
        category_ids: category ids of the ground truth.

    Yields:
        Unknown images and categories, scores and boxes that are not finite numbers, boxes of
        negative size, masks that cannot be read or have not their image's size, masks or boxes of
        some entries only. Entry 0 is the first.
    """
    given = object_keys(entries)
    for number, entry in enumerate(entries):
        name = f"entry {number}"
        if not isinstance(entry, dict):
            yield Fault("entry is no dictionary", f"{name}: {entry!r:.60}")
            continue
        yield from _missing_faults(entry, given, name)
        for key, known in (("image_id", image_sizes), ("category_id", category_ids)):
            if _has(entry, key) and not _is_known(entry[key], known):
                expected = f"expected one of {len(known)}, such as {next(iter(known), None)!r}"
                where = f"{name}: {entry[key]!r:.40} ({expected})"
                yield Fault(f"{key} is not in the ground truth", where)
        if _has(entry, "score") and not is_number(entry["score"]):
            yield Fault("score is no finite number", f"{name}: {entry['score']!r:.40}")
        if _has(entry, "bbox"):
            yield from _box_faults(entry["bbox"], name)
        if _has(entry, "segmentation"):
            image_id = entry.get("image_id")
            size = image_sizes[image_id] if _is_known(image_id, image_sizes) else None
            yield from _mask_faults(entry["segmentation"], size, name)


def _is_known(value: Any, known: Collection) -> bool:
    """Whether a value is one of the ids; a whole decimal such as 7.0 is an integer."""
    return (is_id(value) or whole(value) is not None) and value in known


def _missing_faults(entry: Mapping, given: Sequence[str], name: str) -> Iterator[Fault]:
    for key in ("image_id", "category_id", "score"):
        if not _has(entry, key):
            yield Fault(f"entry lacks {key}", name)
    for key in given:
        if not _has(entry, key):
            yield Fault(f"entry lacks {key} (bbox, segmentation or both, but all alike)", name)


def _box_faults(box: Any, name: str) -> Iterator[Fault]:
    """A box without area is none: the APIs have a rule for it."""
    if not is_box(box):
        yield Fault("bbox is no list of four finite numbers", f"{name}: {box!r:.80}")
    elif box[2] < 0 or box[3] < 0:
        yield Fault("bbox has negative size, expected x, y, width, height", f"{name}: {box}")


def _mask_faults(rle: Any, size: tuple[int, int] | None, name: str) -> Iterator[Fault]:
    if not isinstance(rle, dict):
        yield Fault("segmentation is no RLE of size and counts", f"{name}: {rle!r:.40}")
        return
    image = {} if size is None else {"height": size[0], "width": size[1]}
    findings = Findings()
    judge_rle(rle, image, name, findings)
    yield from findings.faults
