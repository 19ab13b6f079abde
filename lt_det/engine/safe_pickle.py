"""Pickles of NumPy arrays, read without running anything else that is in them."""

from __future__ import annotations

import os
import pickle
from typing import Any

__all__ = ["load_arrays"]

# What the pickles of Detectron2's model zoo and of Caffe2 are made of.
_HARMLESS = {
    ("_codecs", "encode"),
    ("collections", "OrderedDict"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    *(
        (f"numpy.{core}.multiarray", name)
        for core in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    ),
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _HARMLESS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def load_arrays(path: str | os.PathLike) -> Any:
    """Content of a pickle of plain values, dictionaries and arrays.

    Raises:
        pickle.UnpicklingError: if it asks for any other class or function, or is no pickle.
    """
    with open(path, "rb") as file:
        return _ArrayUnpickler(file, encoding="latin1").load()
