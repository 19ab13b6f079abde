"""Detections as columns and problems, from result records."""

import numpy as np

from lt_det.evaluation.coco_api import COCOGroundTruth
from lt_det.evaluation.columns import DetectionColumns
from lt_det.evaluation.lvis_api import LVISGroundTruth
from lt_det.evaluation.problem import Problem, coco_problem, lvis_problem

APIS = {"lvis": (LVISGroundTruth, lvis_problem), "coco": (COCOGroundTruth, coco_problem)}


def columns_of(records: list[dict], images: dict[int, dict]) -> DetectionColumns:
    """Columns of LVIS result records, the images in the order in which records name them."""
    image_ids = list(dict.fromkeys(r["image_id"] for r in records))
    place = {image_id: i for i, image_id in enumerate(image_ids)}
    records = sorted(records, key=lambda r: place[r["image_id"]])
    sizes = [(images[i]["height"], images[i]["width"]) for i in image_ids]
    masks = [r["segmentation"]["counts"].encode() for r in records if "segmentation" in r]
    return DetectionColumns(
        image_ids,
        np.array(sizes).reshape(-1, 2),
        np.array([place[r["image_id"]] for r in records], dtype=np.int32),
        np.array([r["category_id"] for r in records], dtype=np.int64),
        np.array([r["score"] for r in records], dtype=np.float64),
        None if masks else np.array([r["bbox"] for r in records], np.float64).reshape(-1, 4),
        masks if masks or not records else None,
    )


def problem_of(
    path: str, records: list[dict], task: str = "bbox", cap: int = -1, data_format: str = "lvis"
) -> Problem:
    """The problem of an annotation file and results."""
    read, build = APIS[data_format]
    ground_truth = read(path)
    return build(ground_truth, columns_of(records, ground_truth.imgs), task, cap)
