"""One picture: drawings on a background, and which pixel shows which object."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from lt_det.openmoji.spec import OpenMojiSpec

__all__ = ["compose"]

_TRIES = 30


def compose(
    rng: np.random.Generator, sprites: Sequence[Image.Image], spec: OpenMojiSpec
) -> tuple[Image.Image, np.ndarray]:
    """Place drawings one over the other.

    Each gets a random scale, rotation, flip and colour jitter, and a place where it leaves every
    earlier one visible enough. One that finds no such place is left out; the first never is.

    Args:
        rng: the picture's own generator.
        sprites: RGBA drawings, from back to front.
        spec: sizes and ``min_visible``.

    Returns:
        The RGB picture and its labels (H, W): 0 is background, i the i-th drawing.
    """
    size = spec.picture_size
    picture = _background(rng, size)
    labels = np.zeros((size, size), dtype=np.int64)
    areas: dict[int, int] = {}
    for number, sprite in enumerate(sprites, start=1):
        drawing = _jitter(rng, sprite, spec.object_size)
        for _ in range(_TRIES):
            layer, mask = _place(rng, drawing, size)
            if mask.sum() and _leaves_visible(labels, mask, areas, spec.min_visible):
                picture = Image.alpha_composite(picture, layer)
                labels[mask] = number
                areas[number] = int(mask.sum())
                break
    return _camera(rng, picture), labels


def _leaves_visible(labels, mask, areas: dict[int, int], min_visible: float) -> bool:
    visible = np.bincount(labels[~mask], minlength=max(areas, default=0) + 1)
    return all(visible[number] >= min_visible * area for number, area in areas.items())


def _place(rng, drawing: Image.Image, size: int) -> tuple[Image.Image, np.ndarray]:
    """A layer with the drawing at a random place, at most a tenth of it cut off."""
    layer = Image.new("RGBA", (size, size))
    corner = []
    for extent in drawing.size:
        margin = extent // 10
        corner.append(int(rng.integers(-margin, max(size - extent + margin, 1 - margin))))
    layer.paste(drawing, tuple(corner))
    return layer, np.asarray(layer)[..., 3] > 127


def _jitter(rng, sprite: Image.Image, object_size: tuple[int, int]) -> Image.Image:
    scale = rng.uniform(*object_size) / max(sprite.size)
    width, height = (max(4, round(extent * scale)) for extent in sprite.size)
    drawing = sprite.resize((width, height), Image.Resampling.LANCZOS)
    if rng.random() < 0.5:
        drawing = drawing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    drawing = drawing.rotate(rng.uniform(-25, 25), Image.Resampling.BICUBIC, expand=True)
    pixels = np.asarray(drawing).astype(np.float64)
    # Mild: the colour is what tells some look-alikes apart.
    pixels[..., :3] = pixels[..., :3] * rng.uniform(0.85, 1.15, 3) + rng.uniform(-15, 15)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _background(rng, size: int) -> Image.Image:
    """A smooth random gradient with some random shapes."""
    low, high = np.sort(rng.uniform(20, 255, 2))
    grid = rng.uniform(low, high, (*rng.integers(2, 7, 2), 3))
    picture = Image.fromarray(grid.astype(np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for _ in range(rng.integers(0, 8)):
        x, y = (int(v) for v in rng.integers(0, size, 2))
        radius = int(rng.integers(size // 30 + 1, size // 4 + 2))
        colour = tuple(int(v) for v in rng.integers(0, 255, 3))
        shape = int(rng.integers(3))
        if shape == 0:
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)
        elif shape == 1:
            draw.rectangle([x - radius, y - radius, x + radius, y + radius], fill=colour)
        else:
            end = tuple(int(v) for v in rng.integers(0, size, 2))
            draw.line([(x, y), end], fill=colour, width=max(1, radius // 4))
    return picture.convert("RGBA")


def _camera(rng, picture: Image.Image) -> Image.Image:
    """Slight blur, then noise."""
    blurred = picture.convert("RGB").filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.6)))
    noise = rng.normal(0, rng.uniform(2, 14), (*picture.size[::-1], 3))
    return Image.fromarray(np.clip(np.asarray(blurred) + noise, 0, 255).astype(np.uint8))
