"""What ``inspect_dataset --write`` writes: the truth, with all that the file says beside it."""

from __future__ import annotations

import json
from pathlib import Path

from damaged_files.clean import mask_of
from damaged_files.odd_file import OddFile
from lt_det.data.judgement.completion import write_judged
from lt_det.data.judgement.judge import judge
from lt_det.data.judgement.read import read_judged

__all__ = ["check_written"]

_SECTIONS = ("images", "categories", "annotations")
# Whatever else an entry holds is kept as it is.
_KNOWN = {
    "images": {"id", "height", "width", "neg_category_ids", "not_exhaustive_category_ids"},
    "categories": {"id"},
    "annotations": {
        *("id", "image_id", "category_id", "bbox", "area"),
        *("iscrowd", "ignore", "segmentation"),
    },
}


def check_written(odd: OddFile, json_file: Path, path: Path) -> None:
    """Judge an accepted file, write the judgement and read it back.

    Raises:
        AssertionError: naming the file and what is not the truth.
    """
    write_judged(read_judged(json_file, odd.data_format, ignore=odd.ignore), path)
    content = json.loads(path.read_text())
    for section, others in odd.content.items():
        assert section in _SECTIONS or content[section] == others, f"{odd}: {section} changed"
    assert _objects(odd, content["annotations"]) == _objects(odd, list(odd.objects.values())), odd
    positions = {"annotations": list(odd.objects)}
    for section in _SECTIONS:
        places = positions.get(section, range(len(odd.content[section])))
        for place, entry in zip(places, content[section], strict=True):
            kept = _others(odd.content[section][place], section)
            assert _others(entry, section) == kept, f"{odd}: {section} {place} changed: {entry}"
    again = judge(content, odd.data_format)
    assert not again.faults, f"{odd}: {again.faults}"
    assert again.content == content, f"{odd}: another judgement of the judged file"


def _objects(odd: OddFile, annotations: list[dict]) -> list[tuple]:
    """All that counts of annotations, masks as pycocotools rasterises them."""
    sizes = {i["id"]: (int(i["height"]), int(i["width"])) for i in odd.images}
    return [
        (
            *(a["image_id"], a["category_id"], a["bbox"], a["area"]),
            *(bool(a.get("iscrowd")), bool(a.get("ignore"))),
            _counts(a.get("segmentation"), sizes[a["image_id"]]),
        )
        for a in annotations
    ]


def _counts(segmentation: list | dict | None, size: tuple[int, int]) -> bytes | None:
    if not segmentation:
        return None
    counts = mask_of(segmentation, size)["counts"]
    return counts.encode() if isinstance(counts, str) else counts


def _others(entry: dict, section: str) -> dict:
    return {key: value for key, value in entry.items() if key not in _KNOWN[section]}
