"""Predictions drawn beside the ground truth, coloured by class-frequency group."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

from lt_det.data.datasets.judged_file import read_annotation_file
from lt_det.reports.drawing import NO_GROUP, DrawnObject, PanelPainter, montage

__all__ = [
    "check_same_data_set",
    "choose_pictures",
    "class_groups",
    "class_of_category",
    "draw_predictions",
    "read_predictions",
]

logger = logging.getLogger(__name__)

MONTAGE_FILE = "predictions.png"
_GROUP_OF_LETTER = {"r": "rare", "c": "common", "f": "frequent"}


def draw_predictions(
    dataset_name: str,
    results_json: str | Path,
    output_dir: str | Path,
    num_pictures: int = 8,
    score_threshold: float = 0.3,
) -> list[Path]:
    """Draw ground truth (left) and predictions (right) on pictures of a registered data set.

    Masks, boxes, class names and scores are drawn, in a colour for each group. Pictures that
    contain rare classes come first.

    Args:
        dataset_name: registered data set with instances.
        results_json: detections in the COCO / LVIS result format, as the evaluator writes them to
            ``lvis_instances_results.json``.
        output_dir: folder for one PNG a picture and ``predictions.png`` with all of them.
        num_pictures: number of pictures.
        score_threshold: detections below it are not drawn.

    Returns:
        The files, the montage last.

    Raises:
        FileNotFoundError: if the results, the annotation file or a picture is missing.
        ValueError: if the results are of another data set or not in the result format.
    """
    if num_pictures < 1:
        raise ValueError(f"Expected `num_pictures` to be at least 1, but got {num_pictures}")
    predictions = read_predictions(results_json)
    dicts = DatasetCatalog.get(dataset_name)
    metadata = MetadataCatalog.get(dataset_name)
    class_of = class_of_category(metadata)
    check_same_data_set(predictions, dicts, class_of, f"{results_json}, data set {dataset_name!r}")
    groups = class_groups(metadata, class_of)
    chosen = choose_pictures(dicts, groups, num_pictures)
    if not chosen:
        raise ValueError(f"Data set {dataset_name!r} has no annotated picture to draw")

    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    painter = PanelPainter(metadata.thing_classes, groups)
    panels, paths = [], []
    for record in chosen:
        detections = [
            DrawnObject.from_result(result, class_of[result["category_id"]])
            for result in predictions.get(record["image_id"], ())
            if result["score"] >= score_threshold
        ]
        panels.append(painter.panel(record, detections, f", score >= {score_threshold:g}"))
        paths.append(output_dir / f"image_{record['image_id']}.png")
        panels[-1].save(paths[-1])
    paths.append(output_dir / MONTAGE_FILE)
    montage(panels).save(paths[-1])
    logger.info("Predictions drawn on %d pictures: %s", len(panels), paths[-1])
    return paths


def read_predictions(results_json: str | Path) -> dict[int, list[dict[str, Any]]]:
    """Read a result file; returns the detections of each image id.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it is not in the result format.
    """
    path = Path(results_json)
    if not path.is_file():
        raise FileNotFoundError(
            f"Results file not found: {path}. Evaluate the model first: its detections are in "
            "OUTPUT_DIR/inference/<data set>/lvis_instances_results.json"
        )
    try:
        results = json.loads(path.read_bytes())
        by_image = defaultdict(list)
        for result in results:
            missing = {"image_id", "category_id", "score"} - result.keys()
            if missing or not result.keys() & {"bbox", "segmentation"}:
                raise ValueError(f"a detection has only the keys {sorted(result)}")
            by_image[result["image_id"]].append(result)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is not a list of detections in the COCO / LVIS result format: {error}"
        ) from error
    return dict(by_image)


def choose_pictures(
    dataset_dicts: Sequence[Mapping[str, Any]], groups: Sequence[str], num_pictures: int
) -> list[Mapping[str, Any]]:
    """Pictures to draw: those with the most rare, then common, then any classes first.

    A picture whose classes were all chosen before counts less than one with new classes, so that
    a few pictures show many classes. The choice depends on the ground truth alone and is the same
    for every model.

    Args:
        dataset_dicts: records with contiguous ``category_id``.
        groups: the group of each class.
        num_pictures: at most this many.
    """
    weight = {"rare": 100.0, "common": 10.0}
    classes = [{a["category_id"] for a in r.get("annotations", ())} for r in dataset_dicts]
    remaining = [index for index, of_image in enumerate(classes) if of_image]
    shown: set[int] = set()
    chosen = []

    def value(index: int) -> float:
        return sum(
            weight.get(groups[c], 1.0) * (0.1 if c in shown else 1.0) for c in classes[index]
        )

    while remaining and len(chosen) < num_pictures:
        best = max(remaining, key=value)
        remaining.remove(best)
        shown |= classes[best]
        chosen.append(dataset_dicts[best])
    return chosen


def class_groups(metadata: Any, class_of: Mapping[int, int]) -> list[str]:
    """Group of each contiguous class, from the categories' ``frequency``, as in evaluation."""
    groups = [NO_GROUP] * len(metadata.thing_classes)
    json_file = metadata.get("json_file")
    categories = read_annotation_file(json_file)["categories"] if json_file else ()
    for category in categories:
        if category["id"] in class_of:
            group = _GROUP_OF_LETTER.get(category.get("frequency"), NO_GROUP)
            groups[class_of[category["id"]]] = group
    return groups


def class_of_category(metadata: Any) -> Mapping[int, int]:
    """Category id -> contiguous class; id - 1 where the data set has no map, as in Detectron2."""
    id_map = metadata.get("thing_dataset_id_to_contiguous_id")
    return id_map or {c + 1: c for c in range(len(metadata.thing_classes))}


def check_same_data_set(
    predictions: Mapping[int, Sequence[Mapping]],
    dataset_dicts: Sequence[Mapping],
    class_of: Mapping[int, int],
    where: str,
) -> None:
    """Raise ValueError if a detection is on an unknown picture or of an unknown category."""
    categories = {result["category_id"] for results in predictions.values() for result in results}
    unknown = {
        "image": predictions.keys() - {record["image_id"] for record in dataset_dicts},
        "category": categories - class_of.keys(),
    }
    for kind, ids in unknown.items():
        if ids:
            raise ValueError(
                f"{where}: the data set has no {kind} ids {sorted(ids)[:5]}, which detections "
                "refer to. Are they the results of another data set?"
            )
