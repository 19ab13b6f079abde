"""Find pairs of hashes that may be close, without looking at all pairs.

A hash of 128 bits is cut into eight bands of 16 bits. Two hashes that differ in at most seven bits
agree in at least one band; of those that differ in some more, most do. So only pairs that share a
band are compared.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lt_det.data.images.fingerprint import HASH_BYTES

__all__ = ["MAX_DISTANCE", "close_hashes"]

# Bits, of 128, by which a copy's hash may differ. See :mod:`lt_det.data.images.near_duplicates`.
MAX_DISTANCE = 24
# Pairs of hashes that are compared at a time, which bounds the memory (about 100 MB).
_BLOCK = 1_000_000


def close_hashes(
    queries: np.ndarray, references: np.ndarray, max_distance: int = MAX_DISTANCE
) -> np.ndarray:
    """Find the references that are close to each query.

    Args:
        queries: hashes [Q, 16], uint8.
        references: hashes [R, 16], uint8.
        max_distance: the most bits that may differ.

    Returns:
        Query, reference and distance of each pair found [P, 3], int64, each pair once; sorted.
    """
    if not len(queries) or not len(references):
        return np.empty((0, 3), dtype=np.int64)
    found = [np.empty((0, 3), dtype=np.int64)]
    for pairs in _pairs_that_share_a_band(_words(queries, "<u2"), _words(references, "<u2")):
        distance = _distances(queries, references, pairs)
        is_close = distance <= max_distance
        found.append(np.column_stack([pairs[is_close], distance[is_close]]))
    return np.unique(np.concatenate(found), axis=0)


def _words(hashes: np.ndarray, dtype: str) -> np.ndarray:
    return np.ascontiguousarray(hashes).view(dtype)


def _distances(queries: np.ndarray, references: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Number of bits [P] by which the hashes of each pair differ."""
    differing = _words(queries, "<u8")[pairs[:, 0]] ^ _words(references, "<u8")[pairs[:, 1]]
    return np.bitwise_count(differing).sum(axis=1, dtype=np.int64)


def _pairs_that_share_a_band(queries: np.ndarray, references: np.ndarray) -> Iterator[np.ndarray]:
    """Blocks [P, 2] of query and reference that agree in a band, band after band."""
    for band in range(HASH_BYTES // 2):
        order = np.argsort(references[:, band], kind="stable")
        keys = references[order, band]
        first = np.searchsorted(keys, queries[:, band], side="left")
        number = np.searchsorted(keys, queries[:, band], side="right") - first
        total = np.concatenate([[0], np.cumsum(number)])
        for start in range(0, int(total[-1]), _BLOCK):
            # Pairs are numbered through; number n belongs to the query in whose span it is.
            numbers = np.arange(start, min(start + _BLOCK, int(total[-1])))
            query = np.searchsorted(total, numbers, side="right") - 1
            position = first[query] + numbers - total[query]
            yield np.column_stack([query, order[position]])
