"""Text files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

__all__ = ["atomic_text", "nan_to_null", "write_json"]


@contextlib.contextmanager
def atomic_text(path: str | os.PathLike) -> Iterator[TextIO]:
    """Open a text file that appears under its name only when it is complete.

    Args:
        path: where the file will be; until then it is ``<path>.partial``.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        # csv wants to write line ends itself.
        with open(partial, "w", encoding="utf-8", newline="") as f:
            yield f
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    os.replace(partial, path)


def write_json(path: str | os.PathLike, values: Any) -> None:
    """Write nested values atomically, NaN as null."""
    with atomic_text(path) as f:
        json.dump(nan_to_null(values), f, indent=2, allow_nan=False)
        f.write("\n")


def nan_to_null(value: Any) -> Any:
    """A copy of nested values for JSON, which knows no NaN and no infinity: null."""
    if isinstance(value, Mapping):
        return {str(k): nan_to_null(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [nan_to_null(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
