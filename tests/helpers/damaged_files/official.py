"""AP by pycocotools or the LVIS API alone, on a copy of what a file means.

The copy is written anew from the truth, with numbers as ids: nothing of it has passed lt_det.
"""

import contextlib
import io
import json
import random
import types
from pathlib import Path

import lvis.eval
import numpy as np
from lvis import LVIS, LVISEval, LVISResults
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from damaged_files.clean import mask_of, rectangle_rle
from damaged_files.odd_file import OddFile

_ANNOTATION_KEYS = ("bbox", "area", "iscrowd", "ignore")
_LISTS = ("neg_category_ids", "not_exhaustive_category_ids")


def clean_copy(odd: OddFile) -> dict:
    """The truth as a file of its own; ids are the ranks of the true ones."""
    image_ids, category_ids = _ranks(odd.images), _ranks(odd.categories)
    sizes = {i["id"]: (i["height"], i["width"]) for i in odd.images}
    images = []
    for image in sorted(odd.images, key=lambda image: image["id"]):
        height, width = sizes[image["id"]]
        entry = {"id": image_ids[image["id"]], "height": int(height), "width": int(width)}
        if odd.is_lvis:
            entry |= {key: [category_ids[c] for c in image[key]] for key in _LISTS}
        images.append(entry)
    categories = [
        {"id": category_ids[c["id"]], "name": "x", "frequency": c.get("frequency", "f")}
        for c in odd.categories
    ]
    annotations = []
    for number, a in enumerate(odd.objects.values(), start=1):
        entry = {key: a[key] for key in _ANNOTATION_KEYS if key in a}
        entry |= {"id": number, "image_id": image_ids[a["image_id"]]}
        entry["category_id"] = category_ids[a["category_id"]]
        if a.get("segmentation"):
            entry["segmentation"] = mask_of(a["segmentation"], sizes[a["image_id"]])
        annotations.append(entry)
    return {"images": images, "categories": categories, "annotations": annotations}


def random_results(odd: OddFile) -> list[dict]:
    """Detections near the objects and anywhere, under the file's ids, each with box and mask.

    Boxes are whole numbers inside of their image, scores are all different.
    """
    rng = random.Random(odd.seed + 1)
    category_ids = [c["id"] for c in odd.categories]
    found = []
    for a in odd.objects.values():
        for _ in range(rng.randint(0, 2)):
            shifted = [int(v) + rng.randint(-2, 2) for v in a["bbox"]]
            category_id = a["category_id"] if rng.random() < 0.8 else rng.choice(category_ids)
            found.append((odd.image_of(a), category_id, shifted))
    for image in odd.images:
        box = [rng.randint(0, 20), rng.randint(0, 20), rng.randint(1, 12), rng.randint(1, 12)]
        found.append((image, rng.choice(category_ids), box))
    results = []
    scores = rng.sample(range(1, 1000), len(found))
    for (image, category_id, box), score in zip(found, scores, strict=True):
        size = int(image["height"]), int(image["width"])
        x, y = max(0, min(box[0], size[1] - 2)), max(0, min(box[1], size[0] - 2))
        box = [x, y, *(max(1, min(box[2 + k], size[1 - k] - (x, y)[k])) for k in (0, 1))]
        mask = rectangle_rle(box, size, compressed=True)
        result = {"image_id": image["id"], "category_id": category_id, "bbox": box}
        results.append({**result, "score": score / 1000, "segmentation": mask})
    return results


def official_metrics(odd: OddFile, results: list[dict], task: str, folder: Path) -> dict:
    """Metrics in percent, and ``"classes"``: AP of each class, NaN without ground truth."""
    image_ids, category_ids = _ranks(odd.images), _ranks(odd.categories)
    key = {"bbox": "bbox", "segm": "segmentation"}[task]
    renamed = [
        {
            "image_id": image_ids[r["image_id"]],
            "category_id": category_ids[r["category_id"]],
            "score": r["score"],
            key: dict(r[key]) if task == "segm" else list(r[key]),
        }
        for r in results
    ]
    # The APIs want results sorted by image as lt_det's evaluator stores them.
    renamed.sort(key=lambda r: r["image_id"])
    evaluate = _lvis_arrays if odd.is_lvis else _coco_arrays
    with contextlib.redirect_stdout(io.StringIO()):
        precision, recall = evaluate(clean_copy(odd), renamed, task, folder)
    metrics = {"AP": _percent(precision[..., 0]), "AR": _percent(recall[..., 0])}
    metrics |= {"AP50": _percent(precision[0, ..., 0]), "AP75": _percent(precision[5, ..., 0])}
    for number, suffix in enumerate("sml", start=1):
        metrics[f"AP{suffix}"] = _percent(precision[..., number])
    metrics["classes"] = [_percent(precision[:, :, k, 0]) for k in range(precision.shape[2])]
    return metrics


def _coco_arrays(content: dict, results: list[dict], task: str, _: Path):
    truth = COCO()
    truth.dataset = content
    truth.createIndex()
    run = COCOeval(truth, truth.loadRes(results), task)
    run.params.maxDets = [100]
    run.evaluate()
    run.accumulate()
    return run.eval["precision"][..., -1], run.eval["recall"][..., -1]


def _lvis_arrays(content: dict, results: list[dict], task: str, folder: Path):
    if not hasattr(lvis.eval.np, "float"):
        lvis.eval.np = types.ModuleType("numpy")
        lvis.eval.np.__dict__.update(np.__dict__, float=float)
    for annotation in content["annotations"]:
        if "segmentation" in annotation:
            rle = annotation["segmentation"]
            if isinstance(rle["counts"], bytes):
                annotation["segmentation"] = {**rle, "counts": rle["counts"].decode()}
    path = folder / "clean_copy.json"
    path.write_text(json.dumps(content))
    truth = LVIS(str(path))
    run = LVISEval(truth, LVISResults(truth, results), task)
    run.evaluate()
    run.accumulate()
    return run.eval["precision"], run.eval["recall"]


def _ranks(entries: list[dict]) -> dict:
    return {i: rank for rank, i in enumerate(sorted(e["id"] for e in entries), start=1)}


def _percent(values: np.ndarray) -> float:
    present = values[values > -1]
    return float(np.mean(present) * 100) if present.size else float("nan")
