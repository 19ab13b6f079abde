"""Fixtures of the evaluation tests."""

from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from toy_coco import write_toy_coco
from toy_lvis import A, B, ToyLVIS, make_instances, three_images

from lt_det.data.datasets.coco import register_coco_format
from lt_det.evaluation.lvis_evaluator import PREDICTIONS_FILE, LTLVISEvaluator


@pytest.fixture
def register():
    """Returns a function that registers an annotation file for this test, and gives its name."""
    names = []

    def _register(json_file, **metadata) -> str:
        name = f"lt_det_test_{len(names)}"
        names.append(name)
        MetadataCatalog.get(name).set(json_file=str(json_file), evaluator_type="lvis", **metadata)
        return name

    yield _register
    for name in names:
        MetadataCatalog.remove(name)


@pytest.fixture
def toy() -> ToyLVIS:
    return three_images()


@pytest.fixture
def evaluate(toy, register, tmp_path):
    """Returns a function: {image: detections} -> results of the toy set."""

    def _evaluate(detections, masks=True, **options):
        evaluator = LTLVISEvaluator(register(toy.write(tmp_path / "gt.json")), **options)
        for image_id in toy.images:
            instances = make_instances(detections.get(image_id, []), masks=masks)
            evaluator.process([{"image_id": image_id}], [{"instances": instances}])
        _evaluate.evaluator = evaluator
        return evaluator.evaluate()

    return _evaluate


@pytest.fixture
def ground_truth(tmp_path):
    """Annotation file of four pictures of a rare and a frequent class."""
    toy = ToyLVIS("rf")
    for image_id in (1, 2, 3, 4):
        toy.image(image_id, negative=[1] if image_id == 4 else [])
        toy.box(image_id, 2, B)
    toy.box(1, 1, A)
    toy.box(2, 1, A)
    return toy.write(tmp_path / "gt.json")


@pytest.fixture
def write(ground_truth, register, tmp_path):
    """Returns a function that has LTLVISEvaluator write detections to a folder."""

    def _write(detections, folder, masks=True) -> Path:
        options = {
            "distributed": False,
            "output_dir": str(tmp_path / folder),
            "save_predictions": True,
        }
        evaluator = LTLVISEvaluator(register(ground_truth), **options)
        for image_id in (1, 2, 3, 4):
            instances = make_instances(detections.get(image_id, ()), masks=masks)
            evaluator.process([{"image_id": image_id}], [{"instances": instances}])
        evaluator.evaluate()
        return tmp_path / folder / PREDICTIONS_FILE

    return _write


@pytest.fixture
def coco_set(tmp_path):
    """Registered name and annotation file of the toy set in the COCO format."""
    name, folder = "lt_det_test_file_evaluation", write_toy_coco(tmp_path / "coco")
    register_coco_format(name, folder / "annotations.json", folder / "images")
    DatasetCatalog.get(name)
    yield name, folder / "annotations.json"
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)
