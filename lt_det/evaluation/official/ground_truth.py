"""Reading ground truth for an official API, which itself would say little about a bad file."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["check_entries", "check_ground_truth", "check_masks", "read_ground_truth"]


def read_ground_truth(path: str | os.PathLike) -> dict[str, Any]:
    """The content of an annotation file; without annotations (test sets) their list is empty.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it is not JSON.
    """
    try:
        with open(path, encoding="utf-8") as f:
            dataset = json.load(f)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"annotation file '{path}' does not exist. Check the 'json_file' under which the data "
            "set is registered."
        ) from None
    except ValueError as error:
        raise ValueError(f"'{path}' is not a JSON file: {error}") from error
    if isinstance(dataset, dict):
        # test-dev files may lack the key altogether.
        dataset.setdefault("annotations", [])
    return dataset


def check_ground_truth(
    dataset: Any, required: Mapping[str, Sequence[str]], path: str | os.PathLike
) -> None:
    """Refuse what an API would only notice by a KeyError, or by a wrong number.

    Args:
        dataset: a file's content.
        required: section -> keys that each of its entries must have.
        path: for messages.

    Raises:
        ValueError: naming the file, the entry and what is wrong with it.
    """
    if not isinstance(dataset, dict):
        raise ValueError(f"'{path}' holds a {type(dataset).__name__}, expected a dictionary.")
    for section, keys in required.items():
        if not isinstance(dataset.get(section), list):
            raise ValueError(
                f"'{path}' has no list '{section}': it is not an annotation file of this format."
            )
        check_entries(dataset[section], keys, section, path)
    for section in ("image", "category"):
        plural = {"image": "images", "category": "categories"}[section]
        known = {entry["id"] for entry in dataset[plural]}
        for annotation in dataset["annotations"]:
            if annotation[f"{section}_id"] not in known:
                raise ValueError(
                    f"'{path}': annotation {annotation['id']} refers to {section} "
                    f"{annotation[f'{section}_id']}, which '{plural}' does not list."
                )


def check_entries(
    entries: Sequence[dict], keys: Sequence[str], section: str, path: str | os.PathLike
) -> None:
    """Check that entries have their keys, and ids of their own.

    Raises:
        ValueError: naming the file and the entry.
    """
    ids = set()
    for entry in entries:
        missing = [key for key in keys if key not in entry]
        if missing:
            raise ValueError(
                f"'{path}': an entry of '{section}' (id {entry.get('id')}) lacks {missing}. "
                "Evaluation needs these keys; add them or convert the file."
            )
        if entry["id"] in ids:
            raise ValueError(f"'{path}': id {entry['id']} occurs twice in '{section}'.")
        ids.add(entry["id"])


def check_masks(annotations: Sequence[dict], path: str | os.PathLike) -> None:
    """Refuse masks on which pycocotools fails in the midst of an evaluation, naming none.

    Raises:
        ValueError: naming the file, the annotation and what to do.
    """
    for annotation in annotations:
        segmentation = annotation.get("segmentation")
        if not _is_readable(segmentation):
            raise ValueError(
                f"'{path}': pycocotools cannot read the mask of annotation {annotation['id']}, "
                f"{segmentation!r:.60}. Mend the file (tools/inspect_dataset.py lists everything "
                "that is wrong with it), or evaluate boxes alone with MODEL.MASK_ON False."
            )


def _is_readable(segmentation: Any) -> bool:
    """RLE, or polygons of which the first has three points; NaN takes all memory."""
    if isinstance(segmentation, dict):
        return "size" in segmentation and "counts" in segmentation
    if not (isinstance(segmentation, list) and segmentation and isinstance(segmentation[0], list)):
        return False
    return len(segmentation[0]) > 4 and all(math.isfinite(sum(p)) for p in segmentation)
