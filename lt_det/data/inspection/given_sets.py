"""Turn what a user names, a registered data set or a JSON file, into a registered data set."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog

from lt_det.data.datasets.known_names import near_matches
from lt_det.data.datasets.register import FORMATS
from lt_det.data.judgement.read import guess_format, read_content

__all__ = ["GivenSets", "given_sets"]

# Beside an annotation file; the first that is there has its images.
_IMAGE_FOLDERS = ("images", "../images")


class GivenSets:
    """Registers JSON files for as long as :func:`given_sets` lasts.

    Args:
        data_format: "coco" or "lvis"; None finds it from each file's content.
        image_root: folder of the images; None is ``images`` beside the file or beside its folder,
            or else the file's folder.
        ignore: what objects with ``ignore`` 1 are, "fault" or "crowd"; None is "fault".
    """

    def __init__(
        self,
        data_format: str | None = None,
        image_root: str | None = None,
        ignore: str | None = None,
    ):
        self._format = data_format
        self._ignore = ignore or "fault"
        self._image_root = image_root
        self._names: dict[str, str] = {}
        self.notes: list[str] = []

    def name_of(self, given: str, config_file: str | None = None) -> str:
        """Return the registered name of a data set's name or path.

        What was chosen for a path is added to ``notes``.

        Args:
            given: the name or path.
            config_file: the config whose data sets were registered, for messages.

        Raises:
            FileNotFoundError: if it looks like a path, and there is no file.
            ValueError: if it is an unknown name, or the file is broken.
        """
        if given in DatasetCatalog.list():
            return given
        if not _is_path(given):
            remedy = (
                f"name it in DATASETS.REGISTER of {config_file}"
                if config_file
                else "give --config-file CONFIG, whose DATASETS.REGISTER names it"
            )
            raise ValueError(
                f"Unknown data set {given!r}: {remedy}, or give the path of its JSON file. "
                f"{near_matches(given)}"
            )
        path = os.path.realpath(given)
        if path not in self._names:
            self._names[path] = self._register(given, path)
        return self._names[path]

    def remove(self) -> None:
        """Take the files out of Detectron2's catalogs."""
        for name in self._names.values():
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)

    def _register(self, given: str, path: str) -> str:
        data_format, warning = self._format, ""
        if data_format is None:
            data_format, warning = guess_format(read_content(path)[0])
        elif not os.path.isfile(path):
            read_content(given)  # which says what to do
        image_root = self._image_root or _image_root_of(path)
        name = _free_name(Path(path))
        FORMATS[data_format](name, given, image_root, ignore=self._ignore)
        how = "as --format says" if self._format else "found from its content"
        self.notes.append(
            f"{name}: {given}, {data_format.upper()} format ({how}), images in {image_root}"
        )
        self.notes += [f"WARNING: {warning}"] if warning else []
        return name


@contextlib.contextmanager
def given_sets(
    data_format: str | None = None, image_root: str | None = None, ignore: str | None = None
) -> Iterator[GivenSets]:
    """Register JSON files that are given by path; see :class:`GivenSets`."""
    sets = GivenSets(data_format, image_root, ignore)
    try:
        yield sets
    finally:
        sets.remove()


def _is_path(given: str) -> bool:
    return given.endswith(".json") or os.sep in given or os.path.isfile(given)


def _image_root_of(path: str) -> str:
    folder = os.path.dirname(path)
    candidates = [os.path.normpath(os.path.join(folder, name)) for name in _IMAGE_FOLDERS]
    return next(filter(os.path.isdir, candidates), folder)


def _free_name(path: Path) -> str:
    """The file's name, with as many of its folders as tell it from other data sets."""
    parts = path.with_suffix("").parts[1:]
    names = ("_".join(parts[-number:]) for number in range(1, len(parts) + 1))
    free = next((name for name in names if name not in DatasetCatalog), None)
    return free or f"{'_'.join(parts)}_{os.getpid()}"
