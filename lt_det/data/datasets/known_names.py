"""Names of registered data sets, for messages about one that is not."""

from __future__ import annotations

import difflib

from detectron2.data import DatasetCatalog

__all__ = ["near_matches"]


def near_matches(name: str) -> str:
    """Write a sentence that names the registered sets most like ``name``, if any is."""
    known = sorted(DatasetCatalog.list())
    close = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
    close += [k for k in known if name.lower() in k.lower() and k not in close][:5]
    if close:
        return f"Near matches: {', '.join(close)}"
    return f"None of the {len(known)} registered names is like it"
