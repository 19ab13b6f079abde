"""Reading COCO's compressed run lengths, to see whether they are whole.

pycocotools fills a mask whose run lengths end early with what lies in memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["divide_masks", "run_lengths"]

# Five bits of a number, whether more follow, and the sign in the last of them.
_BITS, _MORE, _NEGATIVE = 0x1F, 0x20, 0x10
# Characters of a number of 32 bits.
_LONGEST = 7
# Characters that are read at once.
_AT_ONCE = 1 << 17


def run_lengths(counts: str) -> np.ndarray:
    """The run lengths that pycocotools packed into text: pixels off, on, off ..., by column.

    Raises:
        ValueError: if the text is no packed list of numbers.
    """
    codes = np.frombuffer(counts.encode(), dtype=np.uint8).astype(np.int64) - ord("0")
    ends = np.flatnonzero(codes & _MORE == 0)
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & _MORE:
        raise ValueError("not run lengths as pycocotools packs them")
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _LONGEST:
        raise ValueError("not run lengths as pycocotools packs them")
    places = np.arange(len(codes)) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((codes & _BITS) << (5 * places), starts)
    numbers -= np.where(codes[ends] & _NEGATIVE, 1 << (5 * lengths), 0)
    # From the fourth on, a number is the difference to the one before the last.
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers


def divide_masks(counts: Sequence[str], pixels: np.ndarray) -> np.ndarray:
    """Tell which compressed run-length codes divide a mask of so many pixels, in bulk.

    Args:
        counts: N codes.
        pixels: (N,) pixels of their masks.

    Returns:
        (N,) False where :func:`run_lengths` raises, gives a number below 0 or another sum.
    """
    sizes = np.fromiter(map(len, counts), dtype=np.int64, count=len(counts))
    parts = np.cumsum(sizes) // _AT_ONCE
    whole = np.zeros(len(counts), dtype=bool)
    for part in np.unique(parts):
        rows = np.flatnonzero((parts == part) & (sizes > 0))
        if len(rows):
            text = "".join([counts[row] for row in rows.tolist()])
            whole[rows] = text.isascii() and _divide(text, sizes[rows], pixels[rows])
    return whole


def _divide(text: str, sizes: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    codes = np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int64) - ord("0")
    first, last = np.cumsum(sizes) - sizes, np.cumsum(sizes) - 1
    is_end = codes & _MORE == 0
    # An unfinished code would run into the next one.
    unfinished = ~is_end[last]
    is_end[last] = True
    ends = np.flatnonzero(is_end)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    of_code = np.searchsorted(last, ends)
    shifts = np.minimum(np.arange(len(codes)) - np.repeat(starts, lengths), _LONGEST)
    numbers = np.add.reduceat((codes & _BITS) << (5 * shifts), starts)
    signs = 1 << (5 * np.minimum(lengths, _LONGEST))
    numbers -= np.where(codes[ends] & _NEGATIVE, signs, 0)
    first_number = np.searchsorted(ends, first)
    place = np.arange(len(ends)) - first_number[of_code]
    runs = numbers.copy()
    for is_summed in (place % 2 == 1, (place % 2 == 0) & (place >= 2)):
        sums = np.cumsum(np.where(is_summed, numbers, 0))
        before = np.concatenate([[0], sums])[first_number]
        runs[is_summed] = (sums - before[of_code])[is_summed]
    bad = unfinished.copy()
    bad |= np.logical_or.reduceat((codes < 0) | (codes > 63), first)
    bad |= np.logical_or.reduceat((runs < 0) | (lengths > _LONGEST), first_number)
    return ~bad & (np.add.reduceat(runs, first_number) == pixels)
