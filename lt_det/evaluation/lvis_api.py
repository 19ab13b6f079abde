"""The official LVIS API (package ``lvis`` 0.5.3), made to run with today's NumPy.

Three repairs, none of which changes a number: ``np.float`` inside ``lvis.eval``'s own namespace
(NumPy itself stays as it is), a ground-truth reader that says what is wrong with a file, and an
evaluation without a single detection, on which `LVISResults` crashes.
"""

import json
import types
from typing import Any

import lvis.eval
import numpy as np
from lvis import LVIS, LVISEval, LVISResults

__all__ = ["LVISGroundTruth", "run_lvis_eval"]

_FREQUENCIES = ("r", "c", "f")
_REQUIRED = {
    "images": ("id", "height", "width"),
    "categories": ("id", "name", "frequency"),
    "annotations": ("id", "image_id", "category_id", "area", "bbox"),
}
_FEDERATED = ("neg_category_ids", "not_exhaustive_category_ids")


def _restore_np_float() -> None:
    """Give ``lvis.eval`` a private NumPy namespace that still has ``np.float``."""
    namespace = types.ModuleType("numpy")
    namespace.__dict__.update(np.__dict__)
    namespace.float = float
    lvis.eval.np = namespace


_restore_np_float()


class LVISGroundTruth(LVIS):
    """`lvis.LVIS` that checks its file.

    Args:
        annotation_path: an LVIS-format JSON. A file without annotations, such as test-dev, is
            accepted; see `has_annotations`.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the file is not LVIS-format JSON.
    """

    def _load_json(self, path: str) -> dict[str, Any]:
        try:
            with open(path, encoding="utf-8") as f:
                dataset = json.load(f)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"LVIS annotation file '{path}' does not exist. Check the 'json_file' under which "
                "the data set is registered."
            ) from None
        except ValueError as error:
            raise ValueError(f"'{path}' is not a JSON file: {error}") from error
        if isinstance(dataset, dict):
            # test-dev files may lack the key altogether, which LVIS._create_index needs.
            dataset.setdefault("annotations", [])
        _check_dataset(dataset, path)
        return dataset

    @property
    def has_annotations(self) -> bool:
        """False for a file like test-dev's, which only lists its images."""
        return len(self.dataset["annotations"]) > 0


class _NoResults(LVISResults):
    """The results of a detector that found nothing."""

    def __init__(self, ground_truth: LVIS):
        self.logger = ground_truth.logger
        self.dataset = {**ground_truth.dataset, "annotations": []}
        self._create_index()


def run_lvis_eval(
    ground_truth: LVIS, detections: list[dict[str, Any]], task: str, max_dets_per_image: int = 300
) -> LVISEval:
    """Evaluate detections by the official API.

    Args:
        ground_truth: the data set.
        detections: results in LVIS format; the API adds keys to these dicts. For ``"segm"`` they
            must carry no ``"bbox"``: with one, the API takes the box's area as the object's size.
        task: ``"bbox"`` or ``"segm"``.
        max_dets_per_image: detections kept per image over all classes, best scores first.

    Returns:
        The evaluation, accumulated but not summarised.
    """
    if detections:
        results = LVISResults(ground_truth, detections, max_dets=max_dets_per_image)
    else:
        results = _NoResults(ground_truth)
    lvis_eval = LVISEval(ground_truth, results, task)
    lvis_eval.evaluate()
    lvis_eval.accumulate()
    return lvis_eval


def _check_dataset(dataset: Any, path: str) -> None:
    """Refuse what the API would only notice by a KeyError, or by a wrong number."""
    if not isinstance(dataset, dict):
        raise ValueError(f"'{path}' holds a {type(dataset).__name__}, expected an LVIS dictionary.")
    for section, keys in _REQUIRED.items():
        if not isinstance(dataset.get(section), list):
            raise ValueError(f"'{path}' has no list '{section}': it is not an LVIS-format file.")
        _check_entries(dataset[section], keys, section, path)
    for category in dataset["categories"]:
        if category["frequency"] not in _FREQUENCIES:
            raise ValueError(
                f"'{path}': category {category['id']} has frequency "
                f"{category['frequency']!r}, expected one of {_FREQUENCIES}."
            )
    if dataset["annotations"]:
        _check_entries(dataset["images"], _FEDERATED, "images", path)
        _check_annotations(dataset, path)


def _check_entries(entries: list[dict], keys: tuple[str, ...], section: str, path: str) -> None:
    ids = set()
    for entry in entries:
        missing = [key for key in keys if key not in entry]
        if missing:
            raise ValueError(
                f"'{path}': an entry of '{section}' (id {entry.get('id')}) lacks {missing}. "
                "LVIS evaluation needs these keys; add them or convert the file to LVIS format."
            )
        if entry["id"] in ids:
            raise ValueError(f"'{path}': id {entry['id']} occurs twice in '{section}'.")
        ids.add(entry["id"])


def _check_annotations(dataset: dict[str, Any], path: str) -> None:
    image_ids = {image["id"] for image in dataset["images"]}
    category_ids = {category["id"] for category in dataset["categories"]}
    for annotation in dataset["annotations"]:
        # The API marks "unmatched" by id 0, so a ground truth of that id could never be found.
        if annotation["id"] < 1:
            raise ValueError(
                f"'{path}': annotation id {annotation['id']}; the LVIS API needs ids of 1 or more."
            )
        if annotation["image_id"] not in image_ids:
            raise ValueError(
                f"'{path}': annotation {annotation['id']} refers to image "
                f"{annotation['image_id']}, which 'images' does not list."
            )
        if annotation["category_id"] not in category_ids:
            raise ValueError(
                f"'{path}': annotation {annotation['id']} refers to category "
                f"{annotation['category_id']}, which 'categories' does not list."
            )
