"""Find image files of two splits that have the same name, or are the same file."""

from __future__ import annotations

import filecmp
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["SharedFiles", "find_shared_files"]


@dataclass(frozen=True)
class SharedFiles:
    """Images of the second split whose file names the first one has, too.

    Attributes:
        identical: paths whose content is the same in both.
        same_name: paths whose name alone is the same.
    """

    identical: tuple[str, ...]
    same_name: tuple[str, ...]


def find_shared_files(first: Sequence[str], second: Sequence[str]) -> SharedFiles:
    """Compare image files by name, and those of one name by content.

    Args:
        first: paths of the training images.
        second: paths of the validation images.
    """
    names = {os.path.basename(path) for path in second}
    by_name = defaultdict(lambda: defaultdict(list))
    for path in dict.fromkeys(first):
        if (name := os.path.basename(path)) in names:
            by_name[name][_size(path)].append(path)
    identical, same_name = [], []
    for path in dict.fromkeys(second):
        by_size = by_name.get(os.path.basename(path), {})
        if any(_is_same(path, other) for other in by_size.get(_size(path), ())):
            identical.append(path)
        elif by_size:
            same_name.append(path)
    return SharedFiles(tuple(identical), tuple(same_name))


def _size(path: str) -> int | None:
    """Bytes of a file; None if it is missing or at an address."""
    try:
        return os.path.getsize(path)
    except OSError:
        return None


def _is_same(path: str, other: str) -> bool:
    """Whether two paths lead to the same bytes; False if a file cannot be read."""
    if path == other:
        return True
    try:
        return os.path.samefile(path, other) or filecmp.cmp(path, other, shallow=False)
    except OSError:
        return False
