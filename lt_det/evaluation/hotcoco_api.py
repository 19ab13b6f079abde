"""The Rust package ``hotcoco``, brought to the LVIS API's numbers bit for bit.

By itself it differs from the API in these, which are settled before it sees the data:

- The API drops detections and ground truth without area; hotcoco counts them.
- The API reads ``ignore`` of an annotation, hotcoco its ``iscrowd``, which the API does not know.
- Polygons are rasterised by pycocotools for both.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pycocotools.mask as mask_utils
from lvis import LVIS, LVISResults

from lt_det.evaluation.group_metrics import Evaluation
from lt_det.evaluation.matches import Matches
from lt_det.garbage import no_garbage_collection

__all__ = ["HotcocoRefusalError", "run_hotcoco_eval"]

_OF_IMAGE = ("id", "height", "width", "neg_category_ids", "not_exhaustive_category_ids")

# Below every area range, so that the object is ignored in all of them.
_IGNORED_AREA = -1.0
# hotcoco gives its matches as lists, about 300 bytes a detection: those of so many classes at once.
_CLASSES_AT_ONCE = 100


class HotcocoRefusalError(ValueError):
    """Ground truth that the LVIS API takes and hotcoco does not, such as ids below 0."""


@no_garbage_collection()
def run_hotcoco_eval(
    ground_truth: LVIS, detections: list[dict[str, Any]], task: str, max_dets_per_image: int = 300
) -> tuple[Evaluation, Matches]:
    """Evaluate detections as `lt_det.evaluation.lvis_api.run_lvis_eval` does.

    Args:
        ground_truth: see there; not changed.
        detections: see there.
        task: see there.
        max_dets_per_image: see there.

    Returns:
        The API's arrays, and its matches over all areas.

    Raises:
        HotcocoRefusalError: if hotcoco does not take the ground truth.
    """
    import hotcoco

    try:
        truth = hotcoco.COCO(_dataset(ground_truth, task))
    except ValueError as error:
        raise HotcocoRefusalError(f"hotcoco refuses the ground truth ({error})") from error
    if max_dets_per_image >= 0:
        # The API's own, which needs nothing of its object; it comes before the rule on areas.
        detections = LVISResults.limit_dets_per_image(None, detections, max_dets_per_image)
    results = hotcoco.LVISResults(truth, [d for d in detections if _area(d) > 0], max_dets=-1)
    run = hotcoco.LVISEval(truth, results, task)
    run.evaluate()
    run.accumulate()
    accumulated = run.eval
    # The last axis is the cap. Sums over these arrays round by their layout: the API's is C order.
    arrays = (np.ascontiguousarray(accumulated[key][..., 0]) for key in ("precision", "recall"))
    evaluation = Evaluation(*arrays, np.array(run.params.iou_thrs))
    return evaluation, _matches(ground_truth, run)


def _dataset(ground_truth: LVIS, task: str) -> dict[str, list[dict]]:
    """What the API evaluates of its data set, and no more, for hotcoco checks all it is given."""
    dataset = ground_truth.dataset
    return {
        "images": [{key: image[key] for key in _OF_IMAGE} for image in dataset["images"]],
        "categories": [
            {"id": c["id"], "name": str(c["id"]), "frequency": c["frequency"]}
            for c in dataset["categories"]
        ],
        "annotations": [
            _annotation(ground_truth, annotation, task)
            for annotation in dataset["annotations"]
            if 0 < annotation["area"] < math.inf
        ],
    }


def _annotation(ground_truth: LVIS, annotation: dict[str, Any], task: str) -> dict[str, Any]:
    kept = {key: annotation[key] for key in ("id", "image_id", "category_id", "area")}
    if annotation.get("ignore"):
        kept["area"] = _IGNORED_AREA
    if task == "bbox":
        return kept | {"bbox": annotation["bbox"]}
    return kept | {"segmentation": ground_truth.ann_to_rle(annotation)}


def _area(detection: dict[str, Any]) -> float:
    """Area in pixels as the API computes it."""
    if "bbox" in detection:
        return detection["bbox"][2] * detection["bbox"][3]
    return mask_utils.area(detection["segmentation"])


def _matches(ground_truth: LVIS, run: Any) -> Matches:
    image_ids = sorted(ground_truth.get_img_ids())
    category_ids = sorted(ground_truth.get_cat_ids())
    image_index = {image_id: i for i, image_id in enumerate(image_ids)}
    class_index = {category_id: k for k, category_id in enumerate(category_ids)}
    keys = ("dtScores", "dtMatched", "dtIgnore", "gtIgnore")
    found = [
        (
            image_index[entry["image_id"]],
            class_index[entry["category_id"]],
            [np.asarray(entry[key]) for key in keys],
        )
        for entry in _entries_over_all_areas(run, category_ids)
    ]
    found.sort(key=lambda pair: (pair[1], pair[0]))
    return Matches.from_pairs(image_ids, category_ids, len(run.params.iou_thrs), found)


def _entries_over_all_areas(run: Any, category_ids: list[int]) -> Iterator[dict[str, Any]]:
    """Entries of (image, class) pairs, evaluated again because hotcoco keeps all areas'."""
    run.params.area_rng, run.params.area_rng_lbl = run.params.area_rng[:1], ["all"]
    for start in range(0, len(category_ids), _CLASSES_AT_ONCE):
        run.params.cat_ids = category_ids[start : start + _CLASSES_AT_ONCE]
        run.evaluate()
        yield from filter(None, run.eval_imgs)
