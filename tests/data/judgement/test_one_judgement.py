"""Statistics, loader, inspection and evaluator count the same objects of odd files, by value."""

import json

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog
from lvis import LVIS, LVISEval, LVISResults
from odd_sets import accepted, odd_set
from PIL import Image
from pycocotools import mask as mask_api
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import lt_det.evaluation.official.lvis_api  # noqa: F401  (NumPy's old names for the LVIS API)
from lt_det.class_stats import ClassStats
from lt_det.data.datasets.register import FORMATS
from lt_det.data.datasets.usable_records import usable_records
from lt_det.data.inspection.inspection import inspect_dataset, load_summary
from lt_det.data.statistics import compute_class_stats
from lt_det.evaluation.evaluate_files import evaluate_files, evaluator_of_files
from lt_det.evaluation.evaluators import EVALUATORS

NAME = "lt_det_test_one_judgement"


@pytest.fixture
def registered(tmp_path):
    """Returns a function that writes and registers a content."""

    def _register(content, data_format):
        path = tmp_path / "set.json"
        path.write_text(json.dumps(content))
        for image in content["images"]:
            Image.fromarray(np.zeros((100, 100, 3), np.uint8)).save(tmp_path / image["file_name"])
        FORMATS[data_format](NAME, path, tmp_path)
        return path

    yield _register
    if NAME in DatasetCatalog:
        DatasetCatalog.remove(NAME)
        MetadataCatalog.remove(NAME)


def detections_of(content) -> list[dict]:
    """Results that find every object, some shifted, and some that find nothing."""
    results = []
    for number, annotation in enumerate(content["annotations"]):
        x, y = 5 + 7 * (number % 5), 5 + 9 * (number % 4)
        box = [5, 5, 20, 20] if number % 3 else [x, y, 20, 20]
        mask = np.zeros((100, 100), np.uint8, order="F")
        mask[box[1] : box[1] + 20, box[0] : box[0] + 20] = 1
        rle = mask_api.encode(mask)
        for category in content["categories"]:
            results.append(
                {
                    "image_id": annotation["image_id"],
                    "category_id": category["id"],
                    "bbox": box,
                    "score": round(0.9 - 0.05 * len(results) / 60, 4),
                    "segmentation": {"size": [100, 100], "counts": rle["counts"].decode()},
                }
            )
    return results


@pytest.mark.parametrize(("name", "data_format"), accepted())
def test_all_count_the_same_objects(registered, tiny_cfg, tmp_path, name, data_format):
    content, expected = odd_set(name, data_format)
    path = registered(content, data_format)
    inspect_dataset(NAME)
    summary = load_summary(NAME)
    assert summary.stats.instance_count.tolist() == list(expected)
    assert compute_class_stats(NAME, 3).instance_count.tolist() == list(expected)
    records = usable_records(NAME, filter_empty=True)
    assert ClassStats.from_dicts(records, 3).instance_count.tolist() == list(expected)
    # What the model trains on.
    mapper = DatasetMapper(tiny_cfg, is_train=True)
    seen = np.zeros(3, dtype=int)
    for record in records:
        classes = mapper(record)["instances"].gt_classes.numpy()
        seen += np.bincount(classes, minlength=3)
    assert seen.tolist() == list(expected)
    # What the evaluation counts.
    results = tmp_path / "results.json"
    results.write_text(json.dumps(detections_of(content)))
    for evaluator in (
        EVALUATORS[data_format](NAME, distributed=False),
        evaluator_of_files(path, data_format),
    ):
        evaluate_files(evaluator, results)
        found = [row["val_instances"] for row in evaluator.per_class]
        assert found == list(expected)


@pytest.mark.parametrize(("name", "data_format"), accepted())
def test_numbers_are_the_official_apis_on_the_written_file(registered, tmp_path, name, data_format):
    content, _ = odd_set(name, data_format)
    path = registered(content, data_format)
    inspect_dataset(NAME, judged_file=tmp_path / "judged.json")
    detections = [
        {**d, "image_id": _read_id(d["image_id"]), "category_id": _read_id(d["category_id"])}
        for d in detections_of(content)
    ]
    results = tmp_path / "results.json"
    results.write_text(json.dumps(detections))
    evaluator = evaluator_of_files(path, data_format)
    evaluator.read_results(results)
    for detection_set in evaluator.read_results(results):
        evaluator.add(detection_set)
    ours = evaluator.evaluate()
    for task in ("bbox", "segm"):
        official = _official(str(tmp_path / "judged.json"), detections, data_format, task)
        assert ours[task]["AP"] == official * 100


def _read_id(value):
    return int(value) if isinstance(value, float) else value


def _official(path: str, detections: list[dict], data_format: str, task: str) -> float:
    """AP by the plain API."""
    key = {"bbox": "bbox", "segm": "segmentation"}[task]
    kept = ("image_id", "category_id", "score", key)
    detections = [{k: d[k] for k in kept} for d in detections]
    if data_format == "lvis":
        truth = LVIS(path)
        run = LVISEval(truth, LVISResults(truth, detections), task)
        run.run()
        return run.results["AP"]
    truth = COCO(path)
    run = COCOeval(truth, truth.loadRes(detections), task)
    run.evaluate()
    run.accumulate()
    precision = run.eval["precision"][..., 0, -1]
    return np.mean(precision[precision > -1])
