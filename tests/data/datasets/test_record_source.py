"""What the catalog returns, and what lt_det's loaders read instead: the same records."""

import functools
import json

import pytest
from benchmarks.parts.lvis_shaped import write_lvis_shaped
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.lvis import (
    get_lvis_instances_meta,
    load_lvis_json,
    register_lvis_instances,
)
from detectron2.utils import logger as detectron2_logger
from toy_coco import write_toy_coco

from lt_det.data.cache.mapped_records import are_mapped
from lt_det.data.datasets.coco import load_coco_format, register_coco_format
from lt_det.data.datasets.lvis import load_lvis_format
from lt_det.data.datasets.lvis_builtin import extend_lvis_metadata
from lt_det.data.datasets.record_source import dataset_records

NAME = "lt_det_test_record_source"


def own_function(number=1):
    return [{"file_name": "own"}] * number


@pytest.fixture(autouse=True)
def _forget():
    yield
    for name in (NAME, "lvis_v1_lt_det_test"):
        if name in DatasetCatalog:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)


@pytest.fixture
def toy_coco(tmp_path):
    return write_toy_coco(tmp_path / "toy")


@pytest.fixture
def faulty_coco(toy_coco):
    """With an object that has no area, so that something is left out."""
    path = toy_coco / "annotations.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"] = [0, 0, 0, 5]
    path.write_text(json.dumps(content))
    return toy_coco


def register(folder):
    register_coco_format(NAME, folder / "annotations.json", folder / "images")


def test_the_catalog_returns_a_list_that_may_be_changed(toy_coco):
    register(toy_coco)
    expected = load_coco_format(str(toy_coco / "annotations.json"), str(toy_coco / "images"))
    for _ in range(2):
        records = DatasetCatalog.get(NAME)
        assert type(records) is list
        assert repr(records) == repr(expected)
        records[0]["image_id"] = "changed"
    mapped = dataset_records(NAME)
    assert are_mapped(mapped)
    assert repr(list(mapped)) == repr(expected)


def test_every_toy_set_is_cached_as_it_is_loaded(toy_lvis):
    for name, path in ((toy_lvis.train, toy_lvis.train_json), (toy_lvis.val, toy_lvis.val_json)):
        expected = load_lvis_format(str(path), str(toy_lvis.image_root))
        for _ in range(2):
            mapped = dataset_records(name)
            assert are_mapped(mapped)
            assert repr(list(mapped)) == repr(expected)


def test_a_cached_set_tells_what_a_read_one_does(faulty_coco, caplog):
    register(faulty_coco)
    told = []
    for _ in range(2):
        caplog.clear()
        detectron2_logger._LOG_COUNTER.clear()  # it logs a message once
        MetadataCatalog.get(NAME).__dict__.pop("thing_classes", None)
        MetadataCatalog.get(NAME).__dict__.pop("thing_dataset_id_to_contiguous_id", None)
        dataset_records(NAME)
        metadata = MetadataCatalog.get(NAME)
        warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
        told.append((metadata.thing_classes, metadata.thing_dataset_id_to_contiguous_id, warnings))
    assert told[0] == told[1]
    assert told[0][1] == {7: 0, 90: 1, 1003: 2}
    assert "object left out: its box has no area inside the image (1" in told[0][2][0]


def test_detectron2s_lvis_sets_are_read_as_detectron2_does(tmp_path):
    name = "lvis_v1_lt_det_test"
    path = tmp_path / "train.json"
    write_lvis_shaped(path, 40)
    register_lvis_instances(name, get_lvis_instances_meta("lvis_v1"), str(path), "coco/")
    assert dataset_records(name) is None  # nobody said that it has LVIS's classes
    extend_lvis_metadata()
    expected = load_lvis_json(str(path), "coco/", name)
    for _ in range(2):
        mapped = dataset_records(name)
        assert are_mapped(mapped)
        assert repr(list(mapped)) == repr(expected)


@pytest.mark.parametrize("function", [own_function, functools.partial(own_function, 2)])
def test_a_function_of_somebody_else_is_left_alone(tmp_path, function):
    name = "lvis_v1_lt_det_test"
    DatasetCatalog.register(name, function)
    MetadataCatalog.get(name).set(json_file=str(tmp_path / "train.json"), image_root="")
    extend_lvis_metadata()
    assert dataset_records(name) is None
    assert dataset_records("lt_det_test_nowhere") is None


def test_a_damaged_cache_never_reaches_the_catalog(toy_coco, tmp_path):
    register(toy_coco)
    expected = DatasetCatalog.get(NAME)
    (path,) = (tmp_path / "cache" / "records").glob("*.columns")
    whole = path.read_bytes()
    assert len(whole) < 20_000
    for place in range(0, len(whole), 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert DatasetCatalog.get(NAME) == expected
