"""Hand judged ground truth to an official API."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from lt_det.data.judgement.completion import completed
from lt_det.data.judgement.judge import Judgement
from lt_det.data.judgement.read import read_judged

__all__ = ["check_masks", "dataset_of"]


def dataset_of(source: str | os.PathLike | Judgement, data_format: str) -> dict[str, Any]:
    """Give the content that an API evaluates, its own copy: that of the judged file.

    Args:
        source: annotation file, or what was judged of one.
        data_format: "coco" or "lvis".

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it is not JSON, or with a table of all its faults.
    """
    if not isinstance(source, Judgement):
        judgement = read_judged(source, data_format)
        judgement.refuse(source)
        source = judgement
    return completed(source)


def check_masks(annotations: Sequence[dict], path: str | os.PathLike) -> None:
    """Refuse to evaluate masks of a file in which objects have none.

    Args:
        annotations: of a judged file, so that the masks that are there can be read.
        path: for messages.

    Raises:
        ValueError: naming the file, the first annotation without a mask and what to do.
    """
    without = [a["id"] for a in annotations if "segmentation" not in a]
    if without:
        raise ValueError(
            f"'{path}': {len(without)} of {len(annotations)} annotations have no mask, such as "
            f"annotation {without[0]}. Add the masks, or evaluate boxes alone with MODEL.MASK_ON "
            "False."
        )
