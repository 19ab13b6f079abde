"""What one image file holds, as Detectron2 reads it."""

from __future__ import annotations

import hashlib
import io
import warnings
from typing import NamedTuple

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from lt_det.data.images.fingerprint import Fingerprint, fingerprint
from lt_det.data.images.pixel_values import lost_values

__all__ = ["TURNED", "ImageFacts", "facts_of_bytes"]

# Values of EXIF's orientation that swap height and width.
TURNED = (5, 6, 7, 8)


class ImageFacts(NamedTuple):
    """What one image file holds.

    Attributes:
        digest: SHA-256 of the file's bytes, in hexadecimal; "" if they could not be read.
        error: why the image cannot be decoded; "" if it can, and the rest is known.
        width: in pixels, as Detectron2 reads the image: turned by its EXIF orientation.
        height: the same.
        orientation: EXIF orientation, 1 to 8; 1 if the file has none.
        lost: what an 8-bit reading changes; "" if nothing.
        pixels: digest of the size and the RGB pixels as Detectron2 reads them.
        fingerprint: what the image looks like.
    """

    digest: str
    error: str = ""
    width: int = 0
    height: int = 0
    orientation: int = 1
    lost: str = ""
    pixels: str = ""
    fingerprint: Fingerprint | None = None


def facts_of_bytes(content: bytes, digest: str) -> ImageFacts:
    """Decode the whole of an image file.

    Args:
        content: the file's bytes.
        digest: their SHA-256, in hexadecimal.

    Returns:
        The facts; with ``error`` set for whatever Pillow raises.
    """
    if not content:
        return ImageFacts(digest, "the file is empty")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, about metadata
        try:
            return _decode(content, digest)
        except UnidentifiedImageError:
            start = content[:16]
            return ImageFacts(digest, f"cannot identify image file, which starts with {start!r}")
        # Whatever a decoder raises on broken data: OSError, SyntaxError, struct.error, ...
        except Exception as error:
            return ImageFacts(digest, " ".join(str(error).split()) or type(error).__name__)


def _decode(content: bytes, digest: str) -> ImageFacts:
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        lost = lost_values(image)
        orientation = _orientation(image)
        pixels = image.convert("RGB")
    if orientation != 1:
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        pixels.info["exif"] = exif.tobytes()
        pixels = ImageOps.exif_transpose(pixels)
    pixel_digest = hashlib.blake2b(repr(pixels.size).encode(), digest_size=16)
    pixel_digest.update(pixels.tobytes())
    return ImageFacts(
        digest=digest,
        width=pixels.width,
        height=pixels.height,
        orientation=orientation,
        lost=lost,
        pixels=pixel_digest.hexdigest(),
        fingerprint=fingerprint(pixels),
    )


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation that Detectron2 applies; 1 for none and for broken metadata."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # Detectron2 passes over broken metadata, too
        return 1
    return value if value in range(2, 9) else 1
