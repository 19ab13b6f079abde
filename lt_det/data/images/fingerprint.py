"""Small descriptions of what an image looks like, equal or close for copies of it.

A fingerprint is a thumbnail and difference hashes of it. A hash has one bit for each pair of
neighbours on a coarse grid: which one is brighter. Encoding an image again or resizing it changes
few bits. Cropping changes many: so the hashes of windows of the image are kept too, one of which is
close to the hash of the crop. (The imagehash package has such hashes without windows, and would
bring SciPy and PyWavelets.)
"""

from __future__ import annotations

import functools
import itertools
from typing import NamedTuple

import numpy as np
from PIL import Image

__all__ = [
    "HASH_BYTES",
    "SIDE",
    "WINDOWS",
    "Fingerprint",
    "Window",
    "fingerprint",
    "sampling_matrix",
]

# Height and width of a thumbnail.
SIDE = 32
# Cells a side of a hash's grid for each direction of its differences: 8 x 8 bits each.
_BITS = 8
HASH_BYTES = 2 * _BITS * _BITS // 8
# Shares of height and width that a window keeps, beside the whole image.
_KEPT = (0.95, 0.9)
# Where a window lies in what is left: at the start, in the middle, at the end.
_PLACES = (0.0, 0.5, 1.0)
_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)


class Window(NamedTuple):
    """A part of an image, in shares of its height and width.

    Args:
        top: where it begins.
        left: the same.
        kept: its height and width.
    """

    top: float
    left: float
    kept: float


WINDOWS = (
    Window(0.0, 0.0, 1.0),
    *(
        Window(top * (1 - kept), left * (1 - kept), kept)
        for kept in _KEPT
        for top, left in itertools.product(_PLACES, _PLACES)
    ),
)


class Fingerprint(NamedTuple):
    """What an image looks like.

    Attributes:
        hashes: :data:`HASH_BYTES` bytes for each of :data:`WINDOWS`, of which the first is the
            whole image.
        thumbnail: 32 x 32 RGB pixels, a byte a value.
    """

    hashes: bytes
    thumbnail: bytes


def fingerprint(image: Image.Image) -> Fingerprint:
    """Describe an RGB image."""
    thumbnail = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX))
    grey = thumbnail @ _GREY
    hashes = b"".join(_hash(grey, window) for window in WINDOWS)
    return Fingerprint(hashes, thumbnail.tobytes())


@functools.cache
def sampling_matrix(start: float, kept: float, cells: int) -> np.ndarray:
    """Average a part of a thumbnail's side over equal cells.

    Args:
        start: where the part begins, as a share of the side.
        kept: its length, as a share of the side.
        cells: their number.

    Returns:
        Weights [cells, 32] of the thumbnail's rows or columns; each row sums to 1. A cell takes
        each pixel by the share of the cell that it covers.
    """
    edges = SIDE * (start + kept * np.linspace(0, 1, cells + 1))
    pixels = np.arange(SIDE)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights = overlap.clip(0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _hash(grey: np.ndarray, window: Window) -> bytes:
    """The difference hash of a window of a grey thumbnail [32, 32]."""
    rows = {n: sampling_matrix(window.top, window.kept, n) for n in (_BITS, _BITS + 1)}
    columns = {n: sampling_matrix(window.left, window.kept, n) for n in (_BITS, _BITS + 1)}
    across = rows[_BITS] @ grey @ columns[_BITS + 1].T
    down = rows[_BITS + 1] @ grey @ columns[_BITS].T
    bits = np.stack([across[:, 1:] > across[:, :-1], down[1:] > down[:-1]])
    # Neighbouring bits are alike. Bands of the hash (bytes 0 and 1, 2 and 3, ...) that take bits
    # from all over the image tell more images apart.
    return np.packbits(bits.reshape(-1, _BITS).T).tobytes()
