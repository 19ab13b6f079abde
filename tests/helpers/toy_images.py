"""Images written by tests."""

from pathlib import Path

import numpy as np
from PIL import Image


def textured(seed: int, height: int = 120, width: int = 160) -> Image.Image:
    """Draw smooth blobs of colour; other seeds look different."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def cut_to_half(path: Path) -> None:
    """Leave the first half of a file's bytes."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def write_16_bit(path: Path, height: int = 96, width: int = 96, factor: int = 100) -> np.ndarray:
    """Write a grey image of 16 bits; its values count up from 0 in steps of ``factor``."""
    values = (np.arange(height * width) % 600 * factor).astype(np.uint16).reshape(height, width)
    Image.fromarray(values).save(path)
    return values
