"""The index of a data set without picture files: what each picture shows, enough to compose it."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path

from PIL import Image

from lt_det.openmoji.picture import paint_picture
from lt_det.openmoji.plan import Catalogue, Picture
from lt_det.openmoji.spec import OpenMojiSpec
from lt_det.openmoji.sprites import draw_sprite

__all__ = ["INDEX", "LiveSet", "write_index"]

INDEX = "pictures.json"
# A drawing takes a millisecond, so a process starts with the few that it needs.
_sprite = functools.cache(draw_sprite)


def write_index(folder: Path, catalogue: Catalogue, pictures: dict[str, list[Picture]]) -> None:
    """Write which drawing each class is and which classes each picture of a split shows."""
    classes = {
        split: [picture.classes for picture in of_split] for split, of_split in pictures.items()
    }
    content = {"codes": catalogue.codes, "classes": classes}
    (folder / INDEX).write_text(json.dumps(content, separators=(",", ":")))


class LiveSet:
    """The pictures of one folder, by split and number.

    Args:
        folder: of ``make_openmoji.py --live``.

    Raises:
        FileNotFoundError: if there is no such set in the folder.
    """

    def __init__(self, folder: str | Path):
        self._folder = folder = Path(folder)
        if not (folder / INDEX).is_file():
            raise FileNotFoundError(
                f"{folder} holds no OpenMoji set whose pictures are composed when they are read: "
                "make it with tools/make_openmoji.py --live"
            )
        description = json.loads((folder / "spec.json").read_text())
        self._seed = description["seed"]
        self._spec = OpenMojiSpec.from_description(description)
        index = json.loads((folder / INDEX).read_text())
        self._codes, self._classes = index["codes"], index["classes"]

    def __contains__(self, file_name: str) -> bool:
        """Whether there is a picture of this name, such as ``train/000000.png``."""
        split, number = _split_and_number(file_name)
        return 0 <= number < len(self._classes.get(split, ()))

    def compose(self, file_name: str) -> Image.Image:
        """The RGB picture of a ``file_name``.

        Raises:
            FileNotFoundError: if there is none.
        """
        if file_name not in self:
            raise FileNotFoundError(f"{self._folder} has no picture {file_name}")
        split, number = _split_and_number(file_name)
        picture = Picture(split, number, tuple(self._classes[split][number]))
        sprites = [_sprite(self._codes[c]) for c in picture.classes]
        return paint_picture(picture, sprites, self._spec, self._seed)[0]


def _split_and_number(file_name: str) -> tuple[str, int]:
    """Inverse of ``Picture.file_name``; number -1, which no picture has, for other names."""
    split, _, name = file_name.partition("/")
    number, suffix = os.path.splitext(name)
    return split, int(number) if suffix == ".png" and number.isdecimal() else -1
