"""Where lt_det keeps what it can compute again: ``$LT_DET_CACHE``, by default ``~/.cache/lt_det``.

All of it may be deleted at any time. An empty ``$LT_DET_CACHE`` switches every cache off.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder(kind: str) -> Path | None:
    """The folder of one kind of files, which need not exist; None if caches are switched off."""
    folder = os.environ.get("LT_DET_CACHE")
    if folder == "":
        return None
    return Path(folder or Path.home() / ".cache" / "lt_det") / kind
