"""Holding every tool to what is right for a file."""

from __future__ import annotations

import math
from pathlib import Path

from pycocotools import mask as mask_api

from damaged_files.clean import mask_of
from damaged_files.odd_file import ExpectedFault, OddFile
from damaged_files.official import official_metrics, random_results
from damaged_files.tools import BOTH, EVALUATING, IMAGES, TRAINING, Bench, Refusal, verdict
from damaged_files.written import check_written

__all__ = ["check"]


def check(odd: OddFile, folder: Path, image_root: Path) -> None:
    """Run every tool on a file.

    Raises:
        AssertionError: naming the file, its damages and the tool that is wrong.
    """
    refused = odd.is_refused
    results = [] if refused else random_results(odd)
    with Bench.of(odd, folder, image_root, results) as bench:
        for name, tool in {**BOTH, **TRAINING, **EVALUATING}.items():
            if (odd.train_line and name in BOTH) or (odd.needs_images and name not in IMAGES):
                continue  # where they are for either, either is right
            line = odd.train_line if name in TRAINING and odd.train_line else odd.one_line
            found = verdict(tool, bench)
            what = f"{odd}\n{name}: {found}"
            if line is not None:
                assert isinstance(found, Refusal), what
                _check_line(line, found, what)
            elif odd.faults:
                assert isinstance(found, Refusal), what
                _check_faults(odd.faults, found, what)
            else:
                assert not isinstance(found, Refusal), what
                _check_found(odd, found, results, folder, what)
        if not refused:
            check_written(odd, bench.json_file, folder / "written.json")


def _check_line(words: tuple[str, ...], refusal: Refusal, what: str) -> None:
    line = refusal.message.lower()
    assert all(word in line for word in words), f"expected {words}: {what}"
    assert refusal.kinds or "\n" not in refusal.message.strip(), what


def _check_faults(expected: list[ExpectedFault], refusal: Refusal, what: str) -> None:
    """All that are expected are listed with their number, and nothing else."""
    kinds = dict(refusal.kinds)
    merged: dict[tuple, int | None] = {}
    for words, number in expected:
        before = merged.get(words, 0)
        merged[words] = None if number is None or before is None else before + number
    for words, number in merged.items():
        said = [kind for kind in kinds if all(word in kind.lower() for word in words)]
        assert said, f"no fault says {words}: {what}"
        listed = sum(kinds.pop(kind) for kind in said)
        assert number in (None, listed), f"{listed} faults say {words}, not {number}: {what}"
    assert not kinds, f"not expected: {kinds}: {what}"


def _check_found(odd: OddFile, found: dict, results: list, folder: Path, what: str) -> None:
    expected = odd.counts()
    if "counts" in found:
        assert tuple(map(list, found["counts"])) == expected, f"expected {expected}: {what}"
    if "crowds" in found and not odd.is_lvis:
        assert found["crowds"] == odd.num_crowds, f"expected {odd.num_crowds} crowds: {what}"
    if "images" in found:
        assert found["images"] == len(odd.images), what
    if "trained" in found:
        assert found["trained"] == _trained(odd), f"expected {_trained(odd)}: {what}"
    if "names" in found:
        assert found["names"] == _names(odd), what
    if "text" in found:
        for words in odd.notes:
            text = found["text"].lower()
            assert all(word in text for word in words), f"no note says {words}: {what}"
    if "instances" in found:
        assert found["instances"] == odd.evaluated(), f"expected {odd.evaluated()}: {what}"
        ids = sorted(c["id"] for c in odd.categories)
        assert found["columns"]["category_id"] == ids, what
        _check_metrics(odd, found, results, folder, what)


def _trained(odd: OddFile) -> dict:
    """Class, clipped corners and mask pixels of the objects of each image that has any."""
    ids = sorted(c["id"] for c in odd.categories)
    trained: dict = {}
    for a in odd.counted:
        image = odd.image_of(a)
        height, width = int(image["height"]), int(image["width"])
        x, y, w, h = a["bbox"]
        box = (max(x, 0), max(y, 0), min(x + w, width), min(y + h, height))
        class_id, pixels = ids.index(a["category_id"]), ids.index(a["category_id"])
        if odd.has_masks:
            pixels = int(mask_api.area(mask_of(a["segmentation"], (height, width))))
        trained.setdefault(a["image_id"], []).append((class_id, tuple(map(float, box)), pixels))
    return {image_id: sorted(objects) for image_id, objects in trained.items()}


def _names(odd: OddFile) -> dict:
    trained = {a["image_id"] for a in odd.counted}
    return {i["id"]: i["file_name"] for i in odd.images if i["id"] in trained}


def _check_metrics(odd: OddFile, found: dict, results: list, folder: Path, what: str) -> None:
    for task in ("bbox", "segm") if odd.has_masks else ("bbox",):
        official = official_metrics(odd, results, task, folder)
        by_class = official.pop("classes")
        said = found["columns"][f"{task}_AP"]
        for c, (ours, theirs) in enumerate(zip(said, by_class, strict=True)):
            # A class's mean runs over its values in another order here.
            assert _same(round(ours, 9), round(theirs, 9)), f"{task} AP of class {c}: {what}"
        for name, value in official.items():
            if "metrics" in found:
                ours = found["metrics"][task][name]
                assert _same(ours, value), f"{task} {name} is {ours}, not {value}: {what}"


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
