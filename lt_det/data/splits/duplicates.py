"""Find images that are there twice or look alike, within a split and across two."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lt_det.data.images.facts import ImageFacts
from lt_det.data.images.near_duplicates import has_contrast, near_duplicates
from lt_det.data.images.reader import ImageReader

__all__ = ["Duplicates", "describe_duplicates", "find_duplicates"]

_NUM_EXAMPLES = 5


@dataclass(frozen=True)
class Duplicates:
    """Pairs of images of one or more splits; an image is (split, path).

    Attributes:
        identical: groups of two images or more of the same bytes or the same pixels.
        alike: pairs of images that look alike, and their similarity, the highest first. Of each
            identical group its first image stands for all.
        plain: images of nearly one colour, which are not compared.
    """

    identical: tuple[tuple[tuple[str, str], ...], ...]
    alike: tuple[tuple[tuple[str, str], tuple[str, str], float], ...]
    plain: tuple[tuple[str, str], ...]


def find_duplicates(files: Mapping[str, Sequence[str]], reader: ImageReader) -> Duplicates:
    """Compare the images of all splits with each other.

    Images that cannot be decoded are left out. A path that is listed twice is two images.

    Args:
        files: split -> paths of its images.
        reader: decodes them.
    """
    images = [(split, path) for split, paths in files.items() for path in paths]
    facts = reader.read([path for _, path in images])
    known = [(image, f) for image, f in zip(images, facts, strict=True) if not f.error]
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    first: dict[str, ImageFacts] = {}
    for image, of_image in known:
        groups[of_image.pixels].append(image)
        first.setdefault(of_image.pixels, of_image)
    prints = [of_image.fingerprint for of_image in first.values()]
    members = list(groups.values())
    return Duplicates(
        identical=tuple(tuple(group) for group in members if len(group) > 1),
        alike=tuple(_across(members, near_duplicates(prints))),
        plain=tuple(g[0] for g, p in zip(members, prints, strict=True) if not has_contrast(p)),
    )


def _across(members: list[list[tuple[str, str]]], pairs) -> Iterator[tuple]:
    """Pairs of images; between groups that reach over splits one pair for each two splits."""
    for one, other, similarity in pairs:
        for a, b in itertools.product(_one_a_split(members[one]), _one_a_split(members[other])):
            yield a, b, similarity


def _one_a_split(group: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return list({split: (split, path) for split, path in reversed(group)}.values())[::-1]


def describe_duplicates(found: Duplicates, splits: Sequence[str]) -> str:
    """Say what was found, leaks across splits first.

    Args:
        found: of :func:`find_duplicates`.
        splits: names of the splits, the training set first.
    """
    lines = []
    for one, other in itertools.combinations(splits, 2):
        lines += _lines(found, one, other)
    for split in splits:
        lines += _lines(found, split, split)
    if not lines:
        lines.append("No identical images and no near-duplicates.")
    if found.plain:
        lines.append(
            f"{len(found.plain)} images of nearly one colour were not searched for "
            f"near-duplicates, such as {found.plain[0][1]}"
        )
    return "\n".join(["Images compared with each other:", *lines])


def _lines(found: Duplicates, one: str, other: str) -> Iterator[str]:
    """What two splits share, or one split has twice."""
    where = f"LEAK between {one} and {other}" if one != other else f"Within {one}"
    identical = [pair for g in found.identical for pair in _pairs_of(g, one, other)]
    if identical:
        yield f"{where}: {_pairs(identical)} of identical images (same bytes or same pixels)"
        yield from (f"  {a} = {b}" for a, b in identical[:_NUM_EXAMPLES])
        yield from _more(identical)
    alike = [
        (a[1], b[1], s) if a[0] == one else (b[1], a[1], s)
        for a, b, s in found.alike
        if {a[0], b[0]} == {one, other}
    ]
    if alike:
        yield f"{where}: {_pairs(alike)} of near-duplicates (encoded again, resized or cropped)"
        yield from (f"  {a} ~ {b} (similarity {s:.3f})" for a, b, s in alike[:_NUM_EXAMPLES])
        yield from _more(alike)


def _pairs_of(group: Sequence[tuple[str, str]], one: str, other: str) -> list[tuple[str, str]]:
    """Pairs of a group's images; within a split each image with the first alone."""
    ours = [path for split, path in group if split == one]
    if one == other:
        return [(ours[0], path) for path in ours[1:]]
    theirs = [path for split, path in group if split == other]
    # As many as there are images of the other split that are training images.
    return [(ours[0], path) for path in theirs] if ours else []


def _pairs(pairs: Sequence) -> str:
    return f"{len(pairs)} pair{'' if len(pairs) == 1 else 's'}"


def _more(pairs: Sequence) -> Iterator[str]:
    if len(pairs) > _NUM_EXAMPLES:
        yield f"  and {len(pairs) - _NUM_EXAMPLES} more"
