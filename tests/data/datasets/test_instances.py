"""What a loader leaves out of a file, with one warning, and what it calls broken."""

import json
import logging

import pytest
from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog
from bad_files import good_content
from toy_coco import IMAGE_COUNT, write_toy_coco

from lt_det.data.datasets.coco import load_coco_format, register_coco_format
from lt_det.data.datasets.lvis import load_lvis_format
from lt_det.data.statistics import compute_class_stats

NAME = "lt_det_test_instances"
INF, NAN = float("inf"), float("nan")
SQUARE = [10, 10, 30, 10, 30, 30, 10, 30]
LINE = [10, 10, 30, 10]


@pytest.fixture
def folder(tmp_path):
    return write_toy_coco(tmp_path / "set")


@pytest.fixture
def load(folder):
    """Loads the toy set after a change of its content; returns the records by image id."""

    def _load(change=lambda content: None, load_format=load_coco_format):
        path = folder / "annotations.json"
        content = good_content(folder)
        change(content)
        path.write_text(json.dumps(content))
        records = load_format(str(path), str(folder / "images"), NAME)
        return {record["image_id"]: record for record in records}

    yield _load
    MetadataCatalog.pop(NAME, None)


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def change_of(**values):
    """Changes the first annotation, the only one of image 500."""
    return lambda content: content["annotations"][0].update(values)


@pytest.mark.parametrize(
    ("segmentation", "kept"),
    [
        ([LINE, SQUARE], [SQUARE]),
        ([SQUARE, LINE], [SQUARE]),
        ([SQUARE, [*SQUARE, 7]], [SQUARE]),
        ([[], SQUARE, SQUARE], [SQUARE, SQUARE]),
        ([[*SQUARE[:7], NAN], SQUARE], [SQUARE]),
        ([[*SQUARE[:7], INF], SQUARE], [SQUARE]),
    ],
)
def test_bad_polygons_beside_a_good_one_are_dropped(load, caplog, segmentation, kept):
    records = load(change_of(segmentation=segmentation))
    assert [a["segmentation"] for a in records[500]["annotations"]] == [kept]
    (warning,) = warnings(caplog)
    assert "polygon left out: it has no three points, a number that is not finite, or" in warning
    assert "outside the image (1," in warning


def test_an_object_without_a_good_polygon_is_dropped(load, caplog):
    records = load(change_of(segmentation=[LINE, LINE]))
    assert records[500]["annotations"] == []
    (warning,) = warnings(caplog)
    assert "object left out: it has no valid polygon" in warning


@pytest.mark.parametrize(
    "box",
    [
        [9, 9, -3, 5],
        [9, 9, 5, 0],
        [96, 1, 9, 9],
        [1, 200, 9, 9],
        [-9, 1, 9, 9],
    ],
)
def test_boxes_without_area_in_the_picture_are_dropped(load, caplog, box):
    assert load(change_of(bbox=box))[500]["annotations"] == []
    (warning,) = warnings(caplog)
    assert "object left out: its box has no area inside the image (1, such as annot" in warning


@pytest.mark.parametrize("box", [[-8.5, 1, 9, 9], [95.5, 1, 9, 9], [0, 0, 0.1, 0.1]])
def test_boxes_with_a_little_area_are_kept(load, caplog, box):
    assert len(load(change_of(bbox=box))[500]["annotations"]) == 1
    assert [w for w in warnings(caplog) if "leaves the image: read as it is" not in w] == []


@pytest.mark.parametrize("load_format", [load_coco_format, load_lvis_format])
def test_one_warning_for_all_counts_however_often_the_file_is_read(load, caplog, load_format):
    def change(content):
        content["annotations"][0]["bbox"] = [1, 1, 0, 0]
        content["annotations"][1]["bbox"] = [1, 1, -2, 5]
        content["annotations"][2]["segmentation"] = [LINE]

    for _ in range(3):
        load(change, load_format)
    (warning,) = warnings(caplog)
    assert "json: object left out: its box has no area inside the image (2, such as" in warning
    assert "object left out: it has no valid polygon (three points or more" in warning
    assert "not all outside the image) (1" in warning
    assert f"`python tools/inspect_dataset.py {NAME}`" in warning


def test_a_good_file_loses_nothing(load, caplog):
    assert sum(len(record["annotations"]) for record in load().values()) == 19
    assert not warnings(caplog)


def test_what_is_dropped_is_not_counted(load, folder):
    load(change_of(segmentation=[LINE]))
    register_coco_format(NAME, folder / "annotations.json", folder / "images")
    try:
        stats = compute_class_stats(NAME, 3)
    finally:
        DatasetCatalog.remove(NAME)
    assert stats.image_count.tolist() == [IMAGE_COUNT[0] - 1, *IMAGE_COUNT[1:]]


def test_what_is_left_is_mapped(load, tiny_cfg):
    """The mapper stopped at a polygon of four numbers, with a TypeError from pycocotools."""
    tiny_cfg.INPUT.MASK_FORMAT = "bitmask"
    record = load(change_of(segmentation=[LINE, SQUARE], bbox=[10, 10, 20, 20]))[500]
    instances = DatasetMapper(tiny_cfg, is_train=True)(record)["instances"]
    assert instances.gt_masks.tensor.shape[0] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["categories"][0].pop("name"), "categories lacks keys"),
        (change_of(bbox=["1", 2, 3, 4]), "bbox is no list of four finite numbers"),
        (change_of(bbox=[NAN, 2, 3, 4]), "bbox is no list of four finite numbers"),
        (change_of(bbox=[1, 2, INF, 4]), "bbox is no list of four finite numbers"),
        (lambda c: c["images"][0].update(file_name=7), "neither file_name nor coco_url"),
        (change_of(segmentation="mask.png"), "segmentation is neither polygons nor RLE"),
    ],
)
@pytest.mark.parametrize("load_format", [load_coco_format, load_lvis_format])
def test_faults_name_the_file(load, load_format, change, message):
    """All kinds are in tests/data/inspection; here are some, to see that loaders refuse them."""
    with pytest.raises(ValueError, match=rf"annotations\.json has 1 fault:(?s:.*){message}"):
        load(change, load_format)
