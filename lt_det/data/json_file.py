"""Reading large JSON files."""

from __future__ import annotations

import json
import os
from typing import Any

from lt_det.garbage import no_garbage_collection

__all__ = ["load_json"]


def load_json(path: str | os.PathLike) -> Any:
    """The content of a JSON file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file, if it is not JSON.
    """
    with open(path, "rb") as file, no_garbage_collection():
        try:
            return json.load(file)
        except ValueError as error:
            raise ValueError(f"{path} is not valid JSON (truncated download?): {error}") from error
