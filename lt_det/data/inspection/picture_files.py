"""Whether pictures are there, as files or at an address that Detectron2's PathManager serves."""

from __future__ import annotations

from detectron2.utils.file_io import PathManager

__all__ = ["is_picture_file", "is_picture_folder"]


def is_picture_file(path: str) -> bool:
    """Whether a picture can be opened by ``PathManager`` at this path."""
    try:
        return PathManager.isfile(path)
    except NotImplementedError:  # such as https, where nobody can tell without a download
        return False


def is_picture_folder(path: str) -> bool:
    """Whether there is a folder, or what stands for one, at this path."""
    try:
        return PathManager.isdir(path)
    except NotImplementedError:
        return False
