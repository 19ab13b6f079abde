"""Tell what an evaluation takes from a judged annotation file, and what it leaves out."""

import logging
from collections.abc import Mapping
from typing import Any

from lt_det.data.datasets.judged_file import announce_notes
from lt_det.data.judgement.findings import LEFT_OUT
from lt_det.data.judgement.judge import Judgement

__all__ = ["announce_judgement", "size_of"]

logger = logging.getLogger(__name__)


def announce_judgement(judgement: Judgement, json_file: str, dataset_name: str | None) -> None:
    """Log a judgement's notes, and how the official API on the file as it is would differ.

    Args:
        judgement: of the ground truth.
        json_file: its file.
        dataset_name: its data set, if it is registered.
    """
    announce_notes(judgement.notes, json_file, dataset_name)
    number = sum(note.number for note in judgement.notes if note.kind.startswith(LEFT_OUT))
    if number:
        logger.warning(
            f"'{json_file}' is evaluated without {number} objects that are left out of it: the "
            "official API on the file as it is would count them as never found. "
            "tools/inspect_dataset.py --write FILE writes the file that is evaluated."
        )


def size_of(image: Mapping[str, Any]) -> tuple[int, int] | None:
    """Give height and width of an image; None where the file does not say."""
    return (image["height"], image["width"]) if "height" in image else None
