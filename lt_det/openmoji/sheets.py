"""Two pictures to look at before training on a generated data set."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pycocotools.mask
from PIL import Image, ImageDraw

from lt_det.class_stats import ClassStats
from lt_det.openmoji.spec import SPLITS

__all__ = ["write_contact_sheet", "write_family_sheet"]

_GROUP_COLOURS = ((214, 39, 40), (255, 127, 14), (31, 119, 180))
_MAX_FAMILIES = 60


def write_family_sheet(path: Path, catalogue, stats: ClassStats) -> None:
    """Families as rows in two columns, most frequent member first, with training image counts.

    The number's colour is the group: red rare, orange common, blue frequent.
    """
    cell, groups = 64, stats.groups()
    families = np.unique(catalogue.family)[:_MAX_FAMILIES]
    size = np.bincount(catalogue.family).max()
    rows = -(-len(families) // 2)
    sheet = Image.new("RGB", (2 * cell * size + cell, rows * (cell + 14)), "white")
    draw = ImageDraw.Draw(sheet)
    for index, family in enumerate(families):
        for member, class_id in enumerate(np.flatnonzero(catalogue.family == family)):
            x = (index // rows) * cell * (size + 1) + member * cell
            y = (index % rows) * (cell + 14)
            sprite = catalogue.sprites[class_id].copy()
            sprite.thumbnail((cell - 8, cell - 8))
            sheet.paste(sprite, (x + 4, y + 2), sprite)
            count = f"{stats.image_count[class_id]:g}"
            draw.text((x + 8, y + cell - 4), count, fill=_GROUP_COLOURS[groups[class_id]])
    sheet.save(path)


def write_contact_sheet(
    path: Path,
    folder: Path,
    read: Callable[[str], Image.Image],
    num_pictures: int = 8,
    enlarge: int = 2,
) -> None:
    """A row of pictures of every split, the outlines of their annotated masks drawn in.

    Args:
        path: of the sheet.
        folder: of the annotation files.
        read: gives the picture of a ``file_name``.
        num_pictures: in a row.
        enlarge: factor.
    """
    rows = [
        [
            _outlined(read(image["file_name"]), annotations, enlarge)
            for image, annotations in _some_pictures(file, num_pictures)
        ]
        for file in (folder / f"{split}.json" for split in sorted(SPLITS))
    ]
    rows = [row for row in rows if row]
    side = rows[0][0].width + 4
    sheet = Image.new("RGB", (side * num_pictures, side * len(rows)), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            sheet.paste(picture, (x * side, y * side))
    sheet.save(path)


def _some_pictures(json_file: Path, number: int) -> list[tuple[dict, list[dict]]]:
    """Pictures spread over the split; half of them from its end, where the extra ones are."""
    content = json.loads(json_file.read_text())
    images = content["images"]
    chosen = images[: number // 2] + images[max(number // 2, len(images) - number + number // 2) :]
    return [
        (image, [a for a in content["annotations"] if a["image_id"] == image["id"]])
        for image in chosen
    ]


def _outlined(picture: Image.Image, annotations: list[dict], enlarge: int) -> Image.Image:
    size = (picture.width * enlarge, picture.height * enlarge)
    pixels = np.array(picture.convert("RGB").resize(size))
    for annotation in annotations:
        mask = Image.fromarray(pycocotools.mask.decode(annotation["segmentation"]))
        mask = np.pad(np.asarray(mask.resize(size, Image.Resampling.NEAREST)), 1)
        inner = mask[1:-1, 1:-1]
        edge = inner & ~(mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:])
        pixels[edge.astype(bool)] = (255, 0, 255)
    return Image.fromarray(pixels)
