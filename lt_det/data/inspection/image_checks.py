"""Check that the images of an annotation file can be decoded and are what the file says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lt_det.data.images.facts import TURNED, ImageFacts
from lt_det.data.images.reader import ImageReader
from lt_det.data.inspection.file_faults import picture_paths
from lt_det.data.inspection.picture_files import is_picture_file
from lt_det.data.judgement.fault import Fault

__all__ = ["find_image_faults", "paths_of_images"]


def find_image_faults(
    images: Sequence[Mapping], image_root: str, reader: ImageReader
) -> Iterator[Fault]:
    """Decode every image that is there.

    Args:
        images: the file's section; entries that are broken otherwise are passed over.
        image_root: folder of the images.
        reader: decodes them.

    Yields:
        Faults, in the order of the file.
    """
    paths = paths_of_images(images, image_root)
    facts = reader.read([path for path, _ in paths])
    for (path, image), of_image in zip(paths, facts, strict=True):
        yield from _faults_of(path, image, of_image)


def paths_of_images(images: Sequence[Mapping], image_root: str) -> list[tuple[str, Mapping]]:
    """Path and entry of each image that is there."""
    entries = [image for image in images if isinstance(image, dict)]
    found = ((_path(image, image_root), image) for image in entries)
    return [(path, image) for path, image in found if path is not None]


def _path(image: Mapping, image_root: str) -> str | None:
    return next(filter(is_picture_file, picture_paths(image, image_root)), None)


def _faults_of(path: str, image: Mapping, facts: ImageFacts) -> Iterator[Fault]:
    if facts.error:
        yield Fault("image cannot be decoded", f"{path}: {facts.error}")
        return
    if facts.lost:
        yield Fault("image has values that 8 bits cannot hold", f"{path}: {facts.lost}")
    expected = image.get("width"), image.get("height")
    if None in expected or expected == (facts.width, facts.height):
        return
    sizes = f"{facts.width} x {facts.height}, not {expected[0]} x {expected[1]} pixels"
    if facts.orientation in TURNED and expected == (facts.height, facts.width):
        yield Fault(
            "image is turned by its EXIF orientation, and the file has the size before",
            f"{path}: {sizes} (orientation {facts.orientation})",
        )
    else:
        yield Fault("image has another size than the file says", f"{path}: {sizes}")
