"""Read annotation files through the one judgement, and log what was odd in them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable

from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import log_first_n

from lt_det.data.judgement.findings import Note, describe_notes
from lt_det.data.judgement.judge import Judgement
from lt_det.data.judgement.read import read_content, read_judged

__all__ = ["announce_notes", "judged_file", "read_annotation_file"]


def judged_file(
    json_file: str | os.PathLike, data_format: str | None = None, ignore: str = "fault"
) -> Judgement:
    """Read an annotation file and judge it; one with faults is refused.

    Args:
        json_file: a path, or an address that Detectron2's PathManager serves.
        data_format: "coco", "lvis", or None to tell by the file.
        ignore: see :func:`lt_det.data.judgement.judge.judge`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not an annotation file, or with a table of all its faults.
    """
    path = PathManager.get_local_path(os.fspath(json_file))
    judgement = read_judged(path, data_format, ignore=ignore)
    judgement.refuse(json_file)
    return judgement


def announce_notes(notes: Iterable, json_file: str, dataset_name: str | None = None) -> None:
    """Log what was odd in a file and how it was read, once for all times the file is read.

    Args:
        notes: of a judgement; from a cache they are lists.
        json_file: the file.
        dataset_name: its data set, if it is registered.
    """
    notes = [Note(kind, number, tuple(examples)) for kind, number, examples in notes]
    if not notes:
        return
    message = (
        f"{json_file}: {describe_notes(notes)}. `python tools/inspect_dataset.py "
        f"{dataset_name or 'NAME'}` lists everything that is odd in the file"
    )
    # A file is loaded several times in a training.
    log_first_n(logging.WARNING, message, key="message", name=__name__)


def read_annotation_file(json_file: str) -> dict:
    """Read a JSON annotation file with ``images`` and ``categories``, without judging it.

    Raises:
        FileNotFoundError: naming the file and the variable that moves it.
        ValueError: if it is broken.
    """
    return read_content(PathManager.get_local_path(json_file))[0]
