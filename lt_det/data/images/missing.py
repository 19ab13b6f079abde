"""Say where an image may be whose file is missing."""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections import defaultdict

__all__ = ["MissingImageHints"]

# Files of a folder that are looked at, and missing images that get a hint: an annotation file with
# the wrong folder lacks all of its images.
_MOST_FILES = 2_000_000
_MOST_HINTS = 100


class MissingImageHints:
    """Compare names of missing images with the files that are there.

    Nothing is read until the first image is missing. Folders at addresses such as ``openmoji://``
    are not searched.

    Args:
        image_root: folder of the images.
    """

    def __init__(self, image_root: str):
        self._root = image_root
        self._num_asked = 0
        self._by_name: dict[str, list[str]] | None = None
        self._by_path: dict[str, list[str]] = {}

    def hint(self, file_name: str) -> str:
        """Describe the likely file.

        Args:
            file_name: the image's name in the annotation file, relative to the image folder.

        Returns:
            What to change; "" if no file or more than one fits, and for all images after the
            first hundred.
        """
        self._num_asked += 1
        if self._num_asked > _MOST_HINTS or "://" in self._root or not os.path.isdir(self._root):
            return ""
        if self._by_name is None:
            self._index()
        slashes = file_name.replace("\\", "/")
        found = self._by_path.get(_plain(slashes), ())
        if len(found) == 1:
            return f"{_difference(file_name, found[0])}: the file is {found[0]}"
        return self._elsewhere(os.path.basename(slashes))

    def _elsewhere(self, name: str) -> str:
        found = [os.path.join(self._root, path) for path in self._by_name.get(name, ())]
        if not found:
            found = self._in_sibling_folders(name)
        return f"a file of this name is {found[0]}" if len(found) == 1 else ""

    def _in_sibling_folders(self, name: str) -> list[str]:
        parent = os.path.dirname(os.path.abspath(self._root))
        paths = (os.path.join(parent, folder, name) for folder in sorted(os.listdir(parent)))
        return list(itertools.islice(filter(os.path.isfile, paths), 2))

    def _index(self) -> None:
        """List the files below the image folder, by name and by path."""
        by_name, by_path = defaultdict(list), defaultdict(list)
        files = (
            os.path.relpath(os.path.join(folder, name), self._root)
            for folder, _, names in os.walk(self._root)
            for name in names
        )
        for path in itertools.islice(files, _MOST_FILES):
            by_name[os.path.basename(path)].append(path)
            by_path[_plain(path)].append(path)
        self._by_name, self._by_path = dict(by_name), dict(by_path)


def _plain(path: str) -> str:
    """A path without what systems treat differently: case and Unicode form."""
    return unicodedata.normalize("NFC", os.path.normpath(path)).casefold()


def _difference(name: str, found: str) -> str:
    if "\\" in name:
        return "file_name has backslashes"
    if unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", found):
        return "file_name has another Unicode form (NFC, NFD)"
    return "file_name has another case"
