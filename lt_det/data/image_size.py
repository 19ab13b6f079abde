"""Tell the size of an image whose record does not say it."""

from __future__ import annotations

from collections.abc import Mapping

from detectron2.utils.file_io import PathManager
from PIL import ExifTags, Image

from lt_det.data.images.facts import TURNED

__all__ = ["image_size", "is_wide"]


def is_wide(record: Mapping) -> bool:
    """Tell whether an image is wider than high; without a size, its file's header is read.

    Detectron2's standard dicts may leave out ``height`` and ``width``: its mapper adds them.

    Raises:
        FileNotFoundError, ValueError: see :func:`image_size`.
    """
    if record.get("width") is None or record.get("height") is None:
        width, height = image_size(record["file_name"])
        return width > height
    return record["width"] > record["height"]


def image_size(file_name: str) -> tuple[int, int]:
    """Read width and height of an image file, in the orientation in which Detectron2 reads it.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file, if it is no image.
    """
    try:
        with PathManager.open(file_name, "rb") as file, Image.open(file) as image:
            width, height = image.size
            is_on_its_side = image.getexif().get(ExifTags.Base.Orientation) in TURNED
    except FileNotFoundError as error:
        raise FileNotFoundError(f"Image file not found: {file_name}") from error
    # A broken PNG header is a SyntaxError.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"Cannot read the size of the image {file_name}: {error}") from error
    return (height, width) if is_on_its_side else (width, height)
