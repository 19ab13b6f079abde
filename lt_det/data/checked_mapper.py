"""Name the image file when a mapper fails, and warn of image values that 8 bits cannot hold."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping

import torch
from detectron2.data import DatasetMapper
from detectron2.data.detection_utils import SizeMismatchError
from PIL import Image

from lt_det.data.images.pixel_values import lost_values, may_lose_values

__all__ = ["CheckedMapper", "ImageMissingError", "ImageReadError", "ImageSizeError", "shared_flag"]

logger = logging.getLogger(__name__)

_ADVICE = "`python tools/inspect_dataset.py NAME --images` lists all images that are broken"


class _OneLineError(Exception):
    """An error that stays one line when a worker process of torch's DataLoader hands it over.

    The loader raises the same type anew, with the worker's traceback before the message.
    """

    def __init__(self, message: str):
        super().__init__(message.rpartition(f"{type(self).__name__}: ")[2].strip())


class ImageReadError(_OneLineError, ValueError):
    """An image cannot be read, or not be made into a model input."""


class ImageMissingError(_OneLineError, FileNotFoundError):
    """The file of an image is missing."""


class ImageSizeError(_OneLineError, SizeMismatchError):
    """An image has another size than its record says."""


def shared_flag() -> torch.Tensor:
    """Make a flag that is not set, in memory that worker processes share."""
    return torch.tensor(False).share_memory_()


class CheckedMapper:
    """A mapper whose errors name the image.

    Detectron2's own mapper reads 8 bits. The first image that loses values by that is warned of,
    once for all worker processes.

    Args:
        mapper: record -> model input.
        is_said: whether the warning was given, of :func:`shared_flag`; mappers that have the same
            one warn once among them.
    """

    def __init__(self, mapper: Callable[[dict], dict | None], is_said: torch.Tensor | None = None):
        self._mapper = mapper
        # A mapper by others may read more than 8 bits.
        self._is_8_bit = isinstance(mapper, DatasetMapper)
        self._is_said = shared_flag() if is_said is None else is_said

    def __call__(self, record: dict) -> dict | None:
        """Map a record.

        Raises:
            FileNotFoundError: if the image is missing.
            ValueError: for every other exception of the mapper, which is its cause.
        """
        try:
            if self._is_8_bit and not self._is_said:
                # What cannot be looked at here may be of use to a mapper by others.
                with contextlib.suppress(Exception):
                    self._warn_of_lost_values(record)
            return self._mapper(record)
        except Exception as error:
            raise _with_file(error, record) from error

    def _warn_of_lost_values(self, record: Mapping) -> None:
        path = record.get("file_name")
        # What stands at an address would be fetched a second time.
        if not isinstance(path, str) or "://" in path or not may_lose_values(path):
            return
        with Image.open(path) as image:
            lost = lost_values(image)
        if lost:
            self._is_said.fill_(True)
            logger.warning(
                f"Image {path} has values that 8 bits cannot hold ({lost}). Convert such images to "
                "8 bits, or give your own mapper. Others may be alike: "
                "`python tools/inspect_dataset.py NAME --images` lists them. This is said once"
            )


def _with_file(error: Exception, record: Mapping) -> _OneLineError:
    """An error of the mapper as one that names the image's file."""
    path = record.get("file_name") or f"of image_id {record.get('image_id')!r}"
    message = " ".join(str(error).split())
    if isinstance(error, SizeMismatchError):
        return ImageSizeError(f"Image {path}: {message} {_ADVICE}")
    if isinstance(error, FileNotFoundError):
        return ImageMissingError(f"Image {path} is missing: {message}. {_ADVICE}")
    kind = "" if isinstance(error, (OSError, ValueError)) else f"{type(error).__name__}: "
    return ImageReadError(f"Image {path} cannot be read or mapped: {kind}{message}. {_ADVICE}")
