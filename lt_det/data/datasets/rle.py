"""Reading COCO's compressed run lengths, to see whether they are whole.

pycocotools fills a mask whose run lengths end early with what lies in memory.
"""

from __future__ import annotations

import numpy as np

__all__ = ["run_lengths"]

# Five bits of a number, whether more follow, and the sign in the last of them.
_BITS, _MORE, _NEGATIVE = 0x1F, 0x20, 0x10
# Characters of a number of 32 bits.
_LONGEST = 7


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
