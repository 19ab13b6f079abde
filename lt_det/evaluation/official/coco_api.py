"""pycocotools' evaluation, quiet, with a reader that says what is wrong with a file."""

import contextlib
import io
import os
from typing import Any

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lt_det.evaluation.official.ground_truth import check_ground_truth, read_ground_truth

__all__ = ["COCOGroundTruth", "run_coco_eval"]

_REQUIRED = {
    "images": ("id", "height", "width"),
    "categories": ("id", "name"),
    "annotations": ("id", "image_id", "category_id", "bbox"),
}


class COCOGroundTruth(COCO):
    """`pycocotools.coco.COCO` that checks and completes its file.

    A missing ``area`` is the mask's (the box's without a mask), a missing ``iscrowd`` is 0, and
    annotation ids, which pycocotools wants to be at least 1, are counted anew where one is not.

    Args:
        annotation_path: a COCO-format JSON; one without annotations lists a test set's images.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the file is not COCO-format JSON.
    """

    def __init__(self, annotation_path: str | os.PathLike):
        super().__init__()
        self.dataset = read_ground_truth(annotation_path)
        check_ground_truth(self.dataset, _REQUIRED, annotation_path)
        self._complete()
        with contextlib.redirect_stdout(io.StringIO()):
            self.createIndex()

    def get_cat_ids(self) -> list[int]:
        """As the LVIS API calls it."""
        return self.getCatIds()

    @property
    def has_annotations(self) -> bool:
        """False for a file that only lists its images."""
        return len(self.dataset["annotations"]) > 0

    def _complete(self) -> None:
        annotations = self.dataset["annotations"]
        sizes = {image["id"]: image for image in self.dataset["images"]}
        # An unmatched detection is marked by ground truth 0.
        renumber = any(annotation["id"] < 1 for annotation in annotations)
        for number, annotation in enumerate(annotations, start=1):
            annotation.setdefault("iscrowd", 0)
            if renumber:
                annotation["id"] = number
            if "area" not in annotation:
                annotation["area"] = _area(annotation, sizes[annotation["image_id"]])


def run_coco_eval(
    ground_truth: COCOGroundTruth, detections: list[dict[str, Any]], task: str, max_dets: int = 100
) -> COCOeval:
    """Evaluate detections by pycocotools.

    Args:
        ground_truth: the data set.
        detections: results in COCO format; pycocotools adds keys to these dicts. For ``"segm"``
            they must carry no ``"bbox"``: with one, the box's area is the object's size.
        task: ``"bbox"`` or ``"segm"``.
        max_dets: detections kept per image and class, best scores first.

    Returns:
        The evaluation, accumulated but not summarised.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        coco_eval = COCOeval(ground_truth, _results(ground_truth, detections), task)
        coco_eval.params.maxDets = [max_dets]
        coco_eval.evaluate()
        coco_eval.accumulate()
    return coco_eval


def _results(ground_truth: COCOGroundTruth, detections: list[dict[str, Any]]) -> COCO:
    if detections:
        return ground_truth.loadRes(detections)
    # loadRes looks into the first detection.
    nothing = COCO()
    nothing.dataset = {**ground_truth.dataset, "annotations": []}
    nothing.createIndex()
    return nothing


def _area(annotation: dict[str, Any], image: dict[str, Any]) -> float:
    if not annotation.get("segmentation"):
        return float(annotation["bbox"][2] * annotation["bbox"][3])
    sized = COCO()
    sized.imgs = {image["id"]: image}
    return float(sized.annToMask({**annotation, "image_id": image["id"]}).sum())
