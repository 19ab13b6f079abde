"""The LVIS-format loader: any ids, polygons or RLE, files that say what is wrong with them."""

import json
import os

import numpy as np
import pytest
from detectron2.data import (
    DatasetCatalog,
    DatasetMapper,
    MetadataCatalog,
    get_detection_dataset_dicts,
)
from detectron2.structures import BoxMode
from pycocotools import mask as mask_api

from lt_det.data.datasets.lvis import load_lvis_format, register_lvis_format

NO_LISTS = {"neg_category_ids": [], "not_exhaustive_category_ids": []}
MINIMAL = {
    "images": [{"id": 9, "file_name": "a.png", "height": 10, "width": 20, **NO_LISTS}],
    "categories": [
        {"id": 30, "name": "dog", "frequency": "f"},
        {"id": 4, "name": "cat", "frequency": "r"},
    ],
    "annotations": [
        {
            "id": 1,
            "image_id": 9,
            "category_id": 30,
            "bbox": [1, 2, 3, 4],
            "area": 12,
            "segmentation": [[1.0, 2.0, 4.0, 2.0, 4.0, 6.0, 1.0, 6.0]],
        }
    ],
}


def write(folder, **changes):
    """MINIMAL with other sections; None removes one."""
    content = {k: v for k, v in {**MINIMAL, **changes}.items() if v is not None}
    path = folder / "set.json"
    path.write_text(json.dumps(content))
    return str(path)


def test_records_are_in_the_standard_format(tmp_path):
    image = {**MINIMAL["images"][0], "neg_category_ids": [4], "not_exhaustive_category_ids": [30]}
    (record,) = load_lvis_format(write(tmp_path, images=[image]), "root")
    assert record == {
        "file_name": os.path.join("root", "a.png"),
        "image_id": 9,
        "height": 10,
        "width": 20,
        "neg_category_ids": [0],
        "not_exhaustive_category_ids": [1],
        "annotations": [
            {
                "bbox": [1, 2, 3, 4],
                "bbox_mode": BoxMode.XYWH_ABS,
                "category_id": 1,
                "segmentation": [[1.0, 2.0, 4.0, 2.0, 4.0, 6.0, 1.0, 6.0]],
            }
        ],
    }


def test_toy_set_against_its_file(toy_lvis):
    records = get_detection_dataset_dicts([toy_lvis.train], filter_empty=False)
    assert [r["image_id"] for r in records] == list(range(93, 101))  # sorted by id
    counts = np.zeros(toy_lvis.num_classes, dtype=int)
    for record in records:
        for annotation in record["annotations"]:
            counts[annotation["category_id"]] += 1
    assert tuple(counts) == toy_lvis.instance_count
    metadata = MetadataCatalog.get(toy_lvis.train)
    assert metadata.thing_classes == [f"class {i}" for i in toy_lvis.category_ids]
    assert metadata.thing_dataset_id_to_contiguous_id == {3: 0, 7: 1, 8: 2, 20: 3, 41: 4}
    assert metadata.json_file == str(toy_lvis.train_json)
    assert metadata.image_root == str(toy_lvis.image_root)
    assert metadata.evaluator_type == "lvis"


def test_polygons_and_rle_give_the_same_masks(toy_lvis, tiny_cfg):
    polygons = DatasetMapper(tiny_cfg, is_train=False)
    polygons.is_train = True
    tiny_cfg.INPUT.MASK_FORMAT = "bitmask"
    bitmasks = DatasetMapper(tiny_cfg, is_train=False)
    bitmasks.is_train = True
    train, val = (get_detection_dataset_dicts([n]) for n in (toy_lvis.train, toy_lvis.val))
    assert len(train) == len(val) == 7
    for from_polygons, from_rle in zip(train, val, strict=True):
        a = polygons(from_polygons)["instances"]
        b = bitmasks(from_rle)["instances"]
        assert a.gt_boxes.tensor.equal(b.gt_boxes.tensor)
        for polygon, bitmask in zip(a.gt_masks.polygons, b.gt_masks.tensor, strict=True):
            rle = mask_api.merge(mask_api.frPyObjects([polygon[0].tolist()], 64, 64))
            assert np.array_equal(mask_api.decode(rle).astype(bool), bitmask.numpy())


def test_uncompressed_rle_is_compressed(tmp_path):
    # Column by column: 10 rows, 20 columns; 25 zeros, 3 ones, the rest zeros.
    rle = {"size": [10, 20], "counts": [25, 3, 172]}
    annotation = {**MINIMAL["annotations"][0], "segmentation": rle}
    (record,) = load_lvis_format(write(tmp_path, annotations=[annotation]), "")
    mask = mask_api.decode(record["annotations"][0]["segmentation"])
    expected = np.zeros((10, 20), dtype=np.uint8)
    expected[5:8, 2] = 1
    assert np.array_equal(mask, expected)


def test_boxes_need_no_segmentation(tmp_path):
    annotation = {k: v for k, v in MINIMAL["annotations"][0].items() if k != "segmentation"}
    (record,) = load_lvis_format(write(tmp_path, annotations=[annotation]), "")
    assert "segmentation" not in record["annotations"][0]


def test_a_test_set_has_no_annotations(tmp_path):
    (record,) = load_lvis_format(write(tmp_path, annotations=None), "")
    assert record["annotations"] == []


def test_coco_url_names_the_file_of_lvis_v1(tmp_path):
    url = "http://images.cocodataset.org/val2017/000000397133.jpg"
    image = {"id": 9, "coco_url": url, "height": 10, "width": 20, **NO_LISTS}
    (record,) = load_lvis_format(write(tmp_path, images=[image]), "coco")
    assert record["file_name"] == os.path.join("coco", "val2017", "000000397133.jpg")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"categories": None}, r"set\.json.*categories"),
        ({"images": None}, r"set\.json.*images"),
        (
            {"images": [{"id": 8, "file_name": "a", "height": 1, "width": 1, **NO_LISTS}]},
            "image_id is not in the file (?s:.*)annotation 1: 9",
        ),
        (
            {"images": [{"id": 9, "height": 10, "width": 20, **NO_LISTS}]},
            "(?s:.*)file_name nor coco_url(?s:.*)image 9",
        ),
        (
            {"images": [{"id": 9, "file_name": "a", "height": 10, "width": 20}]},
            "(?s:.*)image lacks neg_category_ids(?s:.*)--format coco(?s:.*)image 9",
        ),
        (
            {"categories": [{"id": 4, "name": "cat", "frequency": "r"}]},
            "category_id is not in the file (?s:.*)annotation 1: 30",
        ),
        ({"categories": 2 * MINIMAL["categories"]}, "once in categories (?s:.*)30, 2 times; 4, 2"),
        ({"images": 2 * MINIMAL["images"]}, "once in images (?s:.*)9, 2 times"),
    ],
)
def test_bad_content_is_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        load_lvis_format(write(tmp_path, **changes), "")


@pytest.mark.parametrize("field", ["neg_category_ids", "not_exhaustive_category_ids"])
def test_federated_lists_are_checked_too(tmp_path, field):
    image = {**MINIMAL["images"][0], field: [5]}
    with pytest.raises(ValueError, match=f"{field} names no category (?s:.*)image 9: 5"):
        load_lvis_format(write(tmp_path, images=[image]), "")


@pytest.mark.parametrize("text", ["", '{"images": [', "[]", "7"])
def test_broken_files_are_named(tmp_path, text):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"broken\.json is not"):
        load_lvis_format(str(path), "")


def test_missing_file_names_the_variable(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json.*DETECTRON2_DATASETS"):
        load_lvis_format(str(tmp_path / "nowhere.json"), "")


def test_registering_reads_nothing(tmp_path):
    name = "lt_det_test_lazy"
    register_lvis_format(name, tmp_path / "later.json", tmp_path, split="user's own")
    try:
        assert MetadataCatalog.get(name).split == "user's own"
        with pytest.raises(FileNotFoundError):
            DatasetCatalog.get(name)
        (tmp_path / "later.json").write_text(json.dumps(MINIMAL))
        assert len(DatasetCatalog.get(name)) == 1
        assert MetadataCatalog.get(name).thing_classes == ["cat", "dog"]
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def test_garbage_collection_is_left_as_it_was(tmp_path):
    import gc

    assert gc.isenabled()
    load_lvis_format(write(tmp_path), "")
    assert gc.isenabled()
    gc.disable()
    try:
        load_lvis_format(write(tmp_path), "")
        assert not gc.isenabled()
    finally:
        gc.enable()
