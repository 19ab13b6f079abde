"""The records are those of Detectron2's loader, by `repr`; so are its errors."""

import copy
import json
from pathlib import Path

import pytest
from benchmarks.parts.lvis_shaped import write_lvis_shaped
from detectron2.data.datasets.lvis import load_lvis_json

from lt_det.data.datasets.lvis_as_detectron2 import read_lvis_as_detectron2
from paths import SHARED_DATA

VAL64 = SHARED_DATA / "lvis_val64/lvis_v0.5_val64.json"
POLYGON = [1, 1.0, 2.5, 1, 2, 3]


def assert_same(path, name):
    records, facts = read_lvis_as_detectron2(str(path), "root/", name)
    assert facts is None
    expected = load_lvis_json(str(path), "root/", name)
    assert repr(records) == repr(expected)
    return expected


def test_real_annotations():
    if not VAL64.is_file():
        pytest.skip(f"{VAL64} is not on this machine")
    assert len(assert_same(VAL64, "lvis_v0.5_val")) == 64


def test_a_file_of_the_shape_of_v1(tmp_path):
    write_lvis_shaped(tmp_path / "train.json", 30)
    assert len(assert_same(tmp_path / "train.json", "lvis_v1_train")) == 30


@pytest.fixture
def content():
    images = [
        {"id": i, "coco_url": f"http://x/train2017/{i}.jpg", "height": 9, "width": 8.5}
        for i in (7, 3, 5)
    ]
    images[0] |= {"neg_category_ids": [4], "not_exhaustive_category_ids": [1, 2]}
    annotations = [
        {
            "id": i,
            "image_id": image_id,
            "category_id": i + 1,
            "bbox": [0, 1.5, 2.0, 3],
            "segmentation": [POLYGON],
        }
        for i, image_id in enumerate((5, 7, 5))
    ]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1}]}


def changed(content, section, number, **values):
    content = copy.deepcopy(content)
    content[section][number] |= values
    return content


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("images", {}),
        ("images", {"id": 3}),  # twice: the later one counts
        ("images", {"id": 99}),  # whose annotations are nobody's then
        ("annotations", {"segmentation": [POLYGON, POLYGON * 2]}),
        ("annotations", {"category_id": 1204}),
        ("annotations", {"bbox": "none"}),
        ("annotations", {"image_id": 1000}),
    ],
)
def test_unusual_files_are_read_alike(tmp_path, content, section, values):
    path = tmp_path / "set.json"
    path.write_text(json.dumps(changed(content, section, 0, **values)))
    assert_same(path, "lvis_v1_train")


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("images", {"coco_url": 1}),
        ("images", {"coco_url": "no folder"}),
        ("annotations", {"id": 1}),
        ("annotations", {"segmentation": []}),
        ("annotations", {"segmentation": [[1, 2, 3, 4]]}),
        ("annotations", {"segmentation": {"size": [2, 2], "counts": [4]}}),
        ("annotations", {"category_id": "1"}),
        ("annotations", {"bbox": None, "image_id": [1]}),
    ],
)
def test_errors_are_detectron2s(tmp_path, content, section, values):
    path = tmp_path / "set.json"
    path.write_text(json.dumps(changed(content, section, 0, **values)))
    errors = []
    for read in (read_lvis_as_detectron2, load_lvis_json):
        with pytest.raises(Exception) as caught:
            read(str(path), "root/", "lvis_v1_train")
        errors.append((type(caught.value), str(caught.value)))
    assert errors[0] == errors[1]


@pytest.mark.parametrize("section", ["images", "annotations", "categories"])
def test_a_missing_section_is_detectron2s_error(tmp_path, content, section):
    path = tmp_path / "set.json"
    path.write_text(json.dumps({key: v for key, v in content.items() if key != section}))
    with pytest.raises(KeyError, match=section):
        read_lvis_as_detectron2(str(path), "root/", "lvis_v1_train")
