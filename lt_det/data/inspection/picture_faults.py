"""Whether pictures can be opened and are of the size that the annotation file says.

Only their headers are read: a file that breaks off in its pixels passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from detectron2.utils.file_io import PathManager
from PIL import ExifTags, Image
from tqdm import tqdm

from lt_det.data.inspection.file_faults import picture_paths
from lt_det.data.inspection.picture_files import is_picture_file
from lt_det.data.judgement.fault import Fault

__all__ = ["find_picture_faults"]

# Values of EXIF's orientation by which Detectron2 turns a picture on its side.
_ON_ITS_SIDE = (5, 6, 7, 8)


def find_picture_faults(images: Sequence[Mapping], image_root: str) -> Iterator[Fault]:
    """Open the header of every picture that is there, with a progress bar on a terminal.

    Args:
        images: the file's section; entries that are broken otherwise are passed over.
        image_root: folder of the pictures.
    """
    entries = images if isinstance(images, list) else []
    for image in tqdm(entries, desc="pictures", unit="", leave=False, disable=None):
        paths = picture_paths(image, image_root) if isinstance(image, dict) else []
        path = next(filter(is_picture_file, paths), None)
        if path is not None:
            yield from _faults_of(path, image)


def _faults_of(path: str, image: Mapping) -> Iterator[Fault]:
    try:
        width, height = _size(path)
    # A broken PNG header is a SyntaxError.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        yield Fault("picture cannot be read", f"{path}: {error}")
        return
    expected = image.get("width"), image.get("height")
    if (width, height) != expected and None not in expected:
        yield Fault(
            "picture has another size than the file says",
            f"{path}: {width} x {height}, not {expected[0]} x {expected[1]} pixels",
        )


def _size(path: str) -> tuple[int, int]:
    """Width and height as Detectron2 reads the picture."""
    with PathManager.open(path, "rb") as file, Image.open(file) as picture:
        width, height = picture.size
        is_on_its_side = picture.getexif().get(ExifTags.Base.Orientation) in _ON_ITS_SIDE
        return (height, width) if is_on_its_side else (width, height)
