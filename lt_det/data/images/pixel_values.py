"""Find images whose values do not fit into the 8 bits that Detectron2 reads.

Detectron2 converts each image to 8 bits with Pillow. For images of 16 bits in one channel, of 32
bits and of floats this clips every value above 255 to 255: the model sees white. An image of 16
bits in each of three channels keeps its upper 8 bits, which is what it should be.
"""

from __future__ import annotations

import numpy as np
from detectron2.utils.file_io import PathManager
from PIL import Image

__all__ = ["lost_values", "may_lose_values"]

_WIDE_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_JPEG_START = b"\xff\xd8"
_PNG_START = b"\x89PNG\r\n\x1a\n"
# Where a PNG says its bits a channel, and its kind (0 is grey).
_PNG_DEPTH, _PNG_KIND = 24, 25


def lost_values(image: Image.Image) -> str:
    """Describe what an 8-bit reading of an image changes.

    Args:
        image: an image that can be decoded.

    Returns:
        Mode, range of values and share of the pixels that change; "" if none does.
    """
    if image.mode not in _WIDE_MODES:
        return ""
    values = np.asarray(image)
    as_read = np.asarray(image.convert("RGB"))[..., 0]
    share = float(np.mean(as_read != values))
    if not share:
        return ""
    return (
        f"mode {image.mode}, values {np.nanmin(values):g} to {np.nanmax(values):g}: read as 8 bits "
        f"they are {as_read.min()} to {as_read.max()}, {share:.1%} of the pixels change"
    )


def may_lose_values(path: str) -> bool:
    """Tell from a file's first bytes whether an 8-bit reading may change its values.

    This is to be cheap for JPEG and PNG files. The header of other files is opened by Pillow.

    Args:
        path: a file of this machine.
    """
    with PathManager.open(path, "rb") as file:
        start = file.read(_PNG_KIND + 1)
        if start.startswith(_JPEG_START):
            return False
        if start.startswith(_PNG_START):
            return start[_PNG_DEPTH:] == b"\x10\x00"
        file.seek(0)
        with Image.open(file) as image:
            return image.mode in _WIDE_MODES
