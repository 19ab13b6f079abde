"""Filtered as Detectron2 does, said as Detectron2 does, and the same batches with and without."""

import itertools
import json
import logging
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog, get_detection_dataset_dicts
from detectron2.utils import logger as detectron2_logger
from toy_coco import write_toy_coco

from lt_det.data.cache.mapped_records import are_mapped
from lt_det.data.datasets.coco import register_coco_format
from lt_det.data.datasets.usable_records import usable_records
from lt_det.data.statistics import compute_class_stats
from lt_det.data.loaders import build_meta_loader, build_test_loader, build_train_loader
from lt_det.data.statistics import class_stats_from_config
from lt_det.data.datasets.training_sets import training_dicts

NAME = "lt_det_test_usable_records"


@pytest.fixture
def toy_coco(tmp_path):
    """Pictures without objects, and with crowd regions."""
    folder = write_toy_coco(tmp_path / "toy")
    register_coco_format(NAME, folder / "annotations.json", folder / "images")
    yield NAME
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


@pytest.mark.parametrize("cache", ["", "on"])
@pytest.mark.parametrize("filter_empty", [False, True])
def test_records_and_histogram_are_detectron2s(
    toy_coco, caplog, monkeypatch, tmp_path, filter_empty, cache
):
    monkeypatch.setenv("LT_DET_CACHE", cache and str(tmp_path / "cache"))
    texts, found = [], []
    for load in (usable_records, get_detection_dataset_dicts):
        caplog.clear()
        detectron2_logger._LOG_COUNTER.clear()  # it logs a message once
        with caplog.at_level(logging.INFO):
            found.append(load(toy_coco, filter_empty=filter_empty))
        told = [r.getMessage() for r in caplog.records]
        texts.append([text for text in told if "Removed" in text or "Distribution" in text])
    assert are_mapped(found[0]) == (cache == "on")
    assert repr(list(found[0])) == repr(found[1])
    assert texts[0] == texts[1]
    assert len(texts[0]) == 1 + filter_empty


def test_a_set_without_objects_is_named(toy_coco):
    path = Path(MetadataCatalog.get(toy_coco).json_file)
    path.write_text(json.dumps({**json.loads(path.read_text()), "annotations": []}))
    assert len(usable_records(toy_coco, filter_empty=False)) == 11
    with pytest.raises(ValueError, match=f"'{NAME}' has no picture with an object"):
        usable_records(toy_coco, filter_empty=True)


def test_a_set_of_crowds_alone_is_named(toy_coco):
    path = Path(MetadataCatalog.get(toy_coco).json_file)
    content = json.loads(path.read_text())
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 1
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="no picture with an object to train on: all 19 objects"):
        usable_records(toy_coco, filter_empty=True)


@pytest.mark.parametrize("crowd", [None, False, 0.0, "0"])
def test_crowds_of_a_users_own_function_are_plain(toy_coco, crowd, caplog):
    """Detectron2's mapper leaves out what is not equal to 0; statistics count what is not true."""
    records = DatasetCatalog.get(toy_coco)
    for record in records:
        for annotation in record["annotations"]:
            if annotation["category_id"] == 2:
                annotation["iscrowd"] = crowd
    name = "lt_det_test_own_function"
    DatasetCatalog.register(name, lambda: records)
    try:
        found = usable_records(name, filter_empty=True)
        assert compute_class_stats(name, 3).instance_count[2] == 2
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.pop(name, None)
    objects = [a for r in found for a in r["annotations"] if a["category_id"] == 2]
    assert [(type(a["iscrowd"]), a["iscrowd"]) for a in objects] == [(int, 0)] * 2
    assert "iscrowd is " in caplog.text


def test_a_set_without_pictures_is_named(toy_coco):
    path = Path(MetadataCatalog.get(toy_coco).json_file)
    path.write_text('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}]}')
    for _ in range(2):
        with pytest.raises(ValueError, match="no images"):
            usable_records(toy_coco, filter_empty=True)


def batches(loader, number=6):
    return [
        {
            "image": picture["image"].tolist(),
            "place": picture["place"],
            "neg": picture.get("neg_category_ids"),
            "boxes": picture["instances"].gt_boxes.tensor.tolist(),
            "classes": picture["instances"].gt_classes.tolist(),
            "masks": [[p.tolist() for p in m] for m in picture["instances"].gt_masks.polygons],
        }
        for batch in itertools.islice(loader, number)
        for picture in batch
    ]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("sampler", ["RepeatFactorTrainingSampler", "ClassAwareTrainingSampler"])
def test_batches_and_statistics_are_the_same_without_cache(
    tiny_cfg, toy_lvis, monkeypatch, tmp_path, sampler, num_workers
):
    tiny_cfg.DATASETS.TRAIN = (toy_lvis.train, toy_lvis.train)
    tiny_cfg.DATALOADER.SAMPLER_TRAIN = sampler
    tiny_cfg.DATALOADER.REPEAT_THRESHOLD = 0.5
    tiny_cfg.DATALOADER.REPEAT_CORRECTED = True
    tiny_cfg.DATALOADER.NUM_WORKERS = num_workers
    found = []
    for cache in ("", str(tmp_path / "cache"), str(tmp_path / "cache")):
        monkeypatch.setenv("LT_DET_CACHE", cache)
        loader = build_train_loader(tiny_cfg)
        assert are_mapped(loader.dataset.records) == bool(cache)
        assert are_mapped(training_dicts(tiny_cfg)) == bool(cache)
        meta = build_meta_loader(tiny_cfg, loader)
        stats = class_stats_from_config(tiny_cfg).to_dict()
        found.append((batches(loader), batches(meta), stats))
    assert found[0] == found[1] == found[2]


def test_test_pictures_are_the_same_without_cache(tiny_cfg, toy_lvis, monkeypatch, tmp_path):
    found = []
    for cache in ("", str(tmp_path / "cache")):
        monkeypatch.setenv("LT_DET_CACHE", cache)
        pictures = [p for batch in build_test_loader(tiny_cfg, toy_lvis.val) for p in batch]
        found.append([(p["image_id"], p["image"].tolist()) for p in pictures])
    assert len(found[0]) == 8
    assert found[0] == found[1]
