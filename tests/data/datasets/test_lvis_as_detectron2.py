"""The records are those of Detectron2's loader, by `repr`, of files without a fault."""

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
    assert facts == {"notes": []}
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
        {"id": i, "coco_url": f"http://x/train2017/{i}.jpg", "height": 9, "width": 8}
        for i in (7, 3, 5)
    ]
    for image in images:
        image |= {"neg_category_ids": [4], "not_exhaustive_category_ids": [1, 2]}
    annotations = [
        {
            "id": i + 1,
            "image_id": image_id,
            "category_id": i + 1,
            "bbox": [0, 1.5, 2.0, 3],
            "segmentation": [POLYGON],
        }
        for i, image_id in enumerate((5, 7, 5))
    ]
    categories = [{"id": i, "name": f"c{i}", "frequency": "r"} for i in (1, 2, 3, 4, 1203)]
    return {"images": images, "annotations": annotations, "categories": categories}


def changed(content, section, number, **values):
    content = copy.deepcopy(content)
    content[section][number] |= values
    return content


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("images", {}),
        ("images", {"id": 99999}),
        ("annotations", {"segmentation": [POLYGON, POLYGON * 2]}),
        ("annotations", {"category_id": 1203}),
        ("annotations", {"area": 7}),
    ],
)
def test_unusual_files_are_read_alike(tmp_path, content, section, values):
    path = tmp_path / "set.json"
    if values.get("id"):
        content["annotations"][1]["image_id"] = values["id"]
    path.write_text(json.dumps(changed(content, section, 0, **values)))
    assert_same(path, "lvis_v1_train")


@pytest.mark.parametrize(
    "values",
    [
        {"bbox": [0, 0, 0, 5]},
        {"bbox": [9, 1, 2, 2]},
        {"segmentation": [[1, 2, 3, 4]]},
        {"ignore": 1},
        {"iscrowd": 1},
    ],
)
def test_objects_that_do_not_count_are_left_out(tmp_path, content, values):
    path = tmp_path / "set.json"
    path.write_text(json.dumps(changed(content, "annotations", 0, **values)))
    records, facts = read_lvis_as_detectron2(str(path), "root/", "lvis_v1_train")
    # Image 5 has annotations 1 and 3.
    assert [[o["category_id"] for o in r["annotations"]] for r in records] == [[], [2], [1]]
    assert facts["notes"]


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("images", {"coco_url": 1}),
        ("images", {"coco_url": "no folder"}),
        ("annotations", {"segmentation": []}),
        ("annotations", {"segmentation": {"size": [9, 8], "counts": [20, 10, 42]}}),
    ],
)
def test_what_detectron2_alone_refuses_is_its_error(tmp_path, content, section, values):
    path = tmp_path / "set.json"
    path.write_text(json.dumps(changed(content, section, 0, **values)))
    errors = []
    for read in (read_lvis_as_detectron2, load_lvis_json):
        with pytest.raises(Exception) as caught:
            read(str(path), "root/", "lvis_v1_train")
        errors.append((type(caught.value), str(caught.value)))
    assert errors[0] == errors[1]


@pytest.mark.parametrize(
    ("section", "values", "kind"),
    [
        ("images", {"id": 3}, "id occurs more than once in images"),
        ("annotations", {"id": 2}, "id occurs more than once in annotations"),
        ("annotations", {"category_id": "1"}, "category_id is not in the file"),
        ("annotations", {"image_id": 1000}, "image_id is not in the file"),
        ("annotations", {"bbox": "none"}, "bbox is no list of four finite numbers"),
    ],
)
def test_faults_are_those_of_every_other_file(tmp_path, content, section, values, kind):
    path = tmp_path / "set.json"
    path.write_text(json.dumps(changed(content, section, 0, **values)))
    with pytest.raises(ValueError, match=rf"set\.json has (?s:.*){kind}"):
        read_lvis_as_detectron2(str(path), "root/", "lvis_v1_train")


@pytest.mark.parametrize("section", ["images", "categories"])
def test_a_missing_section_is_named(tmp_path, content, section):
    path = tmp_path / "set.json"
    path.write_text(json.dumps({key: v for key, v in content.items() if key != section}))
    with pytest.raises(ValueError, match=rf"it lacks \['{section}'\]"):
        read_lvis_as_detectron2(str(path), "root/", "lvis_v1_train")
