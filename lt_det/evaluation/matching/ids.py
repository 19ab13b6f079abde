"""Hold ids of images and categories in arrays: integers, or text that stays text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["id_array"]


def id_array(ids: Sequence[int] | Sequence[str] | np.ndarray) -> np.ndarray:
    """Give ids as an array, int64 or text: "07" and "007" stay two."""
    if isinstance(ids, np.ndarray):
        return ids
    is_text = len(ids) > 0 and isinstance(ids[0], str)
    return np.array(ids, dtype=np.str_ if is_text else np.int64)
