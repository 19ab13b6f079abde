"""Reading large JSON files."""

from __future__ import annotations

import contextlib
import gc
import json
import os
from collections.abc import Iterator
from typing import Any

__all__ = ["load_json"]


def load_json(path: str | os.PathLike) -> Any:
    """The content of a JSON file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file, if it is not JSON.
    """
    with open(path, "rb") as file, _no_garbage_collection():
        try:
            return json.load(file)
        except ValueError as error:
            raise ValueError(f"{path} is not valid JSON (truncated download?): {error}") from error


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Half the time of ``json.load`` on a large file goes into cyclic garbage collection."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
