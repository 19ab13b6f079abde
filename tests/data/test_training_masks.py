"""Masks that the config does not fit are named before the first step."""

import json

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from toy_coco import CATEGORY_IDS, write_toy_coco

from lt_det.data.datasets.coco import register_coco_format
from lt_det.data.loaders import build_train_loader

NAME = "lt_det_test_masks"


@pytest.fixture
def cfg(tiny_cfg, tmp_path):
    """Of a set with 7 polygons, 10 RLE masks and 2 crowd regions."""
    folder = write_toy_coco(tmp_path / "set")
    register_coco_format(NAME, folder / "annotations.json", folder / "images")
    tiny_cfg.DATASETS.TRAIN = (NAME,)
    tiny_cfg.MODEL.ROI_HEADS.NUM_CLASSES = len(CATEGORY_IDS)
    tiny_cfg.INPUT.MASK_FORMAT = "bitmask"
    yield tiny_cfg
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def change_annotations(change):
    path = MetadataCatalog.get(NAME).json_file
    with open(path) as file:
        content = json.load(file)
    for number, annotation in enumerate(content["annotations"]):
        change(number, annotation)
    with open(path, "w") as file:
        json.dump(content, file)


def load_a_picture(cfg):
    return next(iter(build_train_loader(cfg)))[0]["instances"]


def test_rle_masks_are_no_polygons(cfg):
    cfg.INPUT.MASK_FORMAT = "polygon"
    with pytest.raises(
        ValueError,
        match=r"annotations\.json: 10 of 17 masks are RLE, .*need INPUT\.MASK_FORMAT bitmask",
    ):
        build_train_loader(cfg)


@pytest.mark.parametrize("empty", [True, False])
def test_boxes_alone_need_no_mask_head(cfg, empty):
    def change(number, annotation):
        if number < 3:
            del annotation["segmentation"]
            if empty:
                annotation["segmentation"] = []

    change_annotations(change)
    with pytest.raises(
        ValueError, match=r"annotations\.json: 3 of 17 objects have no .*set MODEL\.MASK_ON False"
    ):
        build_train_loader(cfg)
    cfg.MODEL.MASK_ON = False
    assert len(load_a_picture(cfg)) > 0


def test_crowd_regions_are_not_asked(cfg):
    def change(number, annotation):
        if annotation["iscrowd"]:
            del annotation["segmentation"]

    change_annotations(change)
    assert load_a_picture(cfg).has("gt_masks")


def test_the_set_is_named_among_several(cfg, toy_lvis):
    cfg.DATASETS.TRAIN = (toy_lvis.val, NAME)
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 5
    cfg.INPUT.MASK_FORMAT = "polygon"
    with pytest.raises(ValueError, match=rf"{toy_lvis.val_json}: 14 of 14 masks are RLE"):
        build_train_loader(cfg)


def test_a_mapper_of_the_users_own_may_read_anything(cfg):
    cfg.INPUT.MASK_FORMAT = "polygon"
    assert next(iter(build_train_loader(cfg, mapper=lambda record: record)))[0]["annotations"]


def test_polygons_suit_both_formats(cfg, tiny_cfg, toy_lvis):
    tiny_cfg.DATASETS.TRAIN = (toy_lvis.train,)
    tiny_cfg.MODEL.ROI_HEADS.NUM_CLASSES = 5
    for mask_format in ("polygon", "bitmask"):
        tiny_cfg.INPUT.MASK_FORMAT = mask_format
        assert load_a_picture(tiny_cfg).has("gt_masks")
