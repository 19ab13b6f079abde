"""Names of registered data sets, for messages about one that is not."""

from __future__ import annotations

import difflib

from detectron2.data import DatasetCatalog

__all__ = ["near_matches"]


def near_matches(name: str) -> str:
    """A sentence that names the registered sets most like ``name``, or all if none is."""
    known = sorted(DatasetCatalog.list())
    close = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
    close += [k for k in known if name.lower() in k.lower() and k not in close][:5]
    return f"Near matches: {', '.join(close)}" if close else f"Registered: {', '.join(known)}"
