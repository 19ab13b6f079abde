"""Pictures of a generated data set that are composed when they are read.

``tools/make_openmoji.py --live`` writes everything but the pictures: the same annotation files, and
an index of which drawings each picture shows. A record's ``file_name`` then is an address,
``openmoji://<folder>/train/000000.png``, that Detectron2's PathManager opens, so every mapper,
evaluator and visualiser reads such a set as any other. Pictures are those of the written set, pixel
by pixel.

Why an index, and not all from (seed, number): which objects find room, which one is left
unannotated and which extra pictures a rare class needs is known only after composing. Cost on one
core (x86_64): 18 ms a picture of 256 px and 1,203 classes for annotations alone, after 17 s that
choose the classes' drawings; 17 ms for a picture that is read. The bytes handed over are PPM, which
takes 0.2 ms to write and read where PNG takes 9 to 12.

A loader's workers are expected to be forked, as Linux does up to Python 3.13: any other process has
to import this module itself, as :mod:`lt_det.openmoji.register` does.
"""

from __future__ import annotations

import functools
import io
import os
from typing import IO

from detectron2.utils.file_io import PathManager
from iopath.common.file_io import PathHandler

from lt_det.openmoji.index import INDEX, LiveSet

__all__ = ["PREFIX"]

PREFIX = "openmoji://"
_live_set = functools.lru_cache(maxsize=4)(LiveSet)


class _LivePictures(PathHandler):
    """What Detectron2's PathManager does with an address; all of it is read-only."""

    def _get_supported_prefixes(self) -> list[str]:
        return [PREFIX]

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **kwargs) -> IO[bytes]:
        if mode != "rb":
            raise ValueError(
                f"{path} is composed when it is read: expected mode 'rb', got {mode!r}"
            )
        folder, file_name = _folder_and_file(path)
        file = io.BytesIO()
        _live_set(folder).compose(file_name).save(file, "PPM")
        file.seek(0)
        return file

    def _isfile(self, path: str, **kwargs) -> bool:
        folder, file_name = _folder_and_file(path)
        return self._isdir(PREFIX + folder) and file_name in _live_set(folder)

    def _isdir(self, path: str, **kwargs) -> bool:
        return os.path.isfile(os.path.join(path[len(PREFIX) :], INDEX))

    def _exists(self, path: str, **kwargs) -> bool:
        return self._isfile(path) or self._isdir(path)


def _folder_and_file(path: str) -> tuple[str, str]:
    folder, *file = path[len(PREFIX) :].rsplit("/", 2)
    return folder, "/".join(file)


PathManager.register_handler(_LivePictures(), allow_override=True)
