"""Find images that look alike: encoded again, resized, or cropped a little.

Candidates come from :mod:`lt_det.data.images.hash_bands`; each is confirmed on the thumbnails. The
limits were chosen on real images: docs/data-checks.md has the error rates and the command.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lt_det.data.images.fingerprint import (
    HASH_BYTES,
    SIDE,
    WINDOWS,
    Fingerprint,
    Window,
    sampling_matrix,
)
from lt_det.data.images.hash_bands import MAX_DISTANCE, close_hashes

__all__ = ["MIN_SIMILARITY", "NearPair", "has_contrast", "near_duplicates", "similarity"]

# Correlation of two thumbnails from which on their images are near-duplicates.
MIN_SIMILARITY = 0.9
# An image of nearly one colour is like every other of them: highest standard deviation of one of
# the colours of its thumbnail.
_MIN_DEVIATION = 4.0
# Each image is compared with the closest ones only: a video of a still scene has no end of them.
_MOST_CANDIDATES = 50
# Cells a side on which two thumbnails are compared.
_CELLS = 24
# How far a window is moved, and each of its ends, to lie as the crop does.
_SHIFTS = (-0.025, 0.0, 0.025)


class NearPair(NamedTuple):
    """Two images that look alike.

    Args:
        first: number of an image.
        second: number of another one, higher.
        similarity: correlation of their thumbnails, at most 1.
    """

    first: int
    second: int
    similarity: float


def near_duplicates(
    fingerprints: Sequence[Fingerprint],
    min_similarity: float = MIN_SIMILARITY,
    max_distance: int = MAX_DISTANCE,
) -> list[NearPair]:
    """Find the pairs of images that look alike, of those with contrast.

    Args:
        fingerprints: one an image.
        min_similarity: the lowest correlation of the thumbnails of a pair.
        max_distance: the most bits by which the hashes of a pair differ.

    Returns:
        Pairs of indices, the most similar first.
    """
    kept = [number for number, print_ in enumerate(fingerprints) if has_contrast(print_)]
    best: dict[tuple[int, int], float] = {}
    for query, reference, window in _candidates([fingerprints[n] for n in kept], max_distance):
        query, reference = kept[query], kept[reference]
        score = similarity(fingerprints[query], fingerprints[reference], WINDOWS[window])
        pair = min(query, reference), max(query, reference)
        best[pair] = max(score, best.get(pair, score))
    pairs = [NearPair(*pair, score) for pair, score in best.items() if score >= min_similarity]
    return sorted(pairs, key=lambda pair: (-pair.similarity, pair.first, pair.second))


def has_contrast(image: Fingerprint) -> bool:
    """Tell whether an image has enough contrast to be compared with others."""
    return float(_pixels(image).std(axis=(0, 1)).max()) >= _MIN_DEVIATION


def similarity(query: Fingerprint, reference: Fingerprint, window: Window) -> float:
    """Compare an image with a part of another one.

    Args:
        query: the image that may be a crop.
        reference: the other one.
        window: where in ``reference`` the crop may be; parts that lie a little otherwise are tried.

    Returns:
        The highest correlation of their colours.
    """
    whole = sampling_matrix(0.0, 1.0, _CELLS)[None]
    rows = np.stack([sampling_matrix(*part, _CELLS) for part in _parts(window.top, window.kept)])
    columns = np.stack(
        [sampling_matrix(*part, _CELLS) for part in _parts(window.left, window.kept)]
    )
    expected = _normalised(_sampled(_pixels(query), whole, whole))[0]
    return float((_normalised(_sampled(_pixels(reference), rows, columns)) @ expected).max())


def _sampled(pixels: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Colours of parts of a thumbnail: [A, C, 32] rows and [B, C, 32] columns give [A * B, -1]."""
    num_rows, num_columns = len(rows), len(columns)
    bands = rows.reshape(-1, SIDE) @ pixels.reshape(SIDE, -1)
    bands = bands.reshape(num_rows * _CELLS, SIDE, 3).transpose(1, 0, 2).reshape(SIDE, -1)
    parts = columns.reshape(-1, SIDE) @ bands
    parts = parts.reshape(num_columns, _CELLS, num_rows, _CELLS, 3)
    return parts.transpose(2, 0, 3, 1, 4).reshape(num_rows * num_columns, -1)


def _candidates(
    fingerprints: Sequence[Fingerprint], max_distance: int
) -> list[tuple[int, int, int]]:
    """Query, reference and window of the closest hashes of each query."""
    hashes = np.frombuffer(b"".join(f.hashes for f in fingerprints), dtype=np.uint8)
    hashes = hashes.reshape(len(fingerprints), len(WINDOWS), HASH_BYTES)
    found = close_hashes(hashes[:, 0], hashes.reshape(-1, HASH_BYTES), max_distance)
    query, reference, distance = found[:, 0], found[:, 1] // len(WINDOWS), found[:, 2]
    window = found[:, 1] % len(WINDOWS)
    rows = np.column_stack([query, distance, reference, window])[query != reference]
    rows = rows[np.lexsort(rows.T[::-1])]
    chosen = []
    for number, group in itertools.groupby(rows.tolist(), key=lambda row: row[0]):
        windows: dict[int, int] = {}
        for _, _, other, part in group:  # the closest window of each reference
            windows.setdefault(other, part)
        first = itertools.islice(windows.items(), _MOST_CANDIDATES)
        chosen += [(number, other, part) for other, part in first]
    return chosen


@functools.cache
def _parts(start: float, kept: float) -> tuple[tuple[float, float], ...]:
    """Start and length of parts of a side near a given one, that one among them."""
    starts = {min(max(start + shift, 0.0), 1.0) for shift in _SHIFTS}
    ends = {min(max(start + kept + shift, 0.0), 1.0) for shift in _SHIFTS}
    return tuple((first, last - first) for first in sorted(starts) for last in sorted(ends))


def _pixels(image: Fingerprint) -> np.ndarray:
    pixels = np.frombuffer(image.thumbnail, dtype=np.uint8).reshape(SIDE, SIDE, 3)
    return pixels.astype(np.float32)


def _normalised(values: np.ndarray) -> np.ndarray:
    """Rows of length 1, in which each of the three colours has mean 0.

    The mean of a colour says nothing: under water all images are blue.
    """
    colours = values.reshape(len(values), -1, 3)
    values = (colours - colours.mean(axis=1, keepdims=True)).reshape(len(values), -1)
    return values / np.linalg.norm(values, axis=1, keepdims=True).clip(1e-6)
