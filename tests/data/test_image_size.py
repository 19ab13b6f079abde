"""Records without a size: Detectron2's standard dicts may leave it out."""

import itertools
import json

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import ExifTags, Image
from toy_coco import write_toy_coco

from lt_det.data.cache.mapped_records import are_mapped
from lt_det.data.datasets.coco import load_coco_format, register_coco_format
from lt_det.data.datasets.record_source import dataset_records
from lt_det.data.image_size import image_size, is_wide
from lt_det.data.loaders import build_train_loader

NAME = "lt_det_test_image_size"


@pytest.fixture
def cfg(tiny_cfg):
    tiny_cfg.DATASETS.TRAIN = (NAME,)
    tiny_cfg.DATALOADER.NUM_WORKERS = 0
    tiny_cfg.MODEL.ROI_HEADS.NUM_CLASSES = 3
    tiny_cfg.INPUT.MASK_FORMAT = "bitmask"
    tiny_cfg.SEED = 1
    yield tiny_cfg
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def sizes_of(cfg):
    batches = list(itertools.islice(build_train_loader(cfg), 4))
    return [[(i["image_id"], i["height"], i["width"]) for i in batch] for batch in batches]


def test_a_users_own_function_needs_no_sizes(cfg, tmp_path):
    folder = write_toy_coco(tmp_path / "set")
    records = load_coco_format(str(folder / "annotations.json"), str(folder / "images"))
    for record in records:
        del record["height"], record["width"]
    DatasetCatalog.register(NAME, lambda: records)
    MetadataCatalog.get(NAME).set(thing_classes=["a", "b", "c"])
    assert cfg.DATALOADER.ASPECT_RATIO_GROUPING
    assert {size[1:] for batch in sizes_of(cfg) for size in batch} == {(96, 96)}


@pytest.mark.parametrize("cached", [False, True])
def test_a_file_of_boxes_needs_no_sizes(cfg, tmp_path, cached):
    folder = write_toy_coco(tmp_path / "set")
    path = folder / "annotations.json"
    content = json.loads(path.read_text())
    for number, image in enumerate(content["images"]):
        del image["width"]
        size = (40, 96) if number % 2 else (96, 40)
        Image.new("RGB", size).save(folder / "images" / image["file_name"])
    for annotation in content["annotations"]:
        annotation["segmentation"] = None
        annotation["bbox"] = [5, 5, 20, 20]
    path.write_text(json.dumps(content))
    register_coco_format(NAME, path, folder / "images")
    cfg.MODEL.MASK_ON = False
    if cached:
        dataset_records(NAME)
        assert are_mapped(dataset_records(NAME))
    batches = sizes_of(cfg)
    # Batches do not mix wide images with others.
    assert all(len({width > height for _, height, width in batch}) == 1 for batch in batches)
    assert {size[1:] for batch in batches for size in batch} == {(40, 96), (96, 40)}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_that_of_the_image_as_it_is_read(tmp_path, orientation):
    path = str(tmp_path / "a.jpg")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(np.zeros((10, 30, 3), np.uint8)).save(path, exif=exif)
    expected = (10, 30) if orientation >= 5 else (30, 10)
    assert image_size(path) == expected
    assert is_wide({"file_name": path}) == (orientation < 5)


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Image file not found: .*gone\.jpg"):
        is_wide({"file_name": str(tmp_path / "gone.jpg"), "height": 5})
    (tmp_path / "a.jpg").write_text("no image")
    with pytest.raises(ValueError, match=r"Cannot read the size of the image .*a\.jpg"):
        is_wide({"file_name": str(tmp_path / "a.jpg")})
    assert is_wide({"width": 3, "height": 2})
