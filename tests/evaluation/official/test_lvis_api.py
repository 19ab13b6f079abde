import json

import lvis.eval
import numpy as np
import pytest
from toy_lvis import ToyLVIS

from lt_det.evaluation.official.lvis_api import LVISGroundTruth, run_lvis_eval


@pytest.fixture
def toy():
    toy = ToyLVIS("rc")
    toy.image(1)
    toy.box(1, 1, (10, 10, 20, 20))
    return toy


def test_shim_is_private_to_the_api():
    assert lvis.eval.np.float is float
    assert lvis.eval.np is not np
    assert "float" not in vars(np)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Annotation file not found: .*none\.json"):
        LVISGroundTruth(str(tmp_path / "none.json"))


def test_broken_json_is_named(tmp_path):
    (tmp_path / "broken.json").write_text('{"images": [')
    with pytest.raises(ValueError, match=r"broken\.json is not valid JSON"):
        LVISGroundTruth(str(tmp_path / "broken.json"))


def _drop(section, key):
    return lambda dataset: dataset[section][0].pop(key)


def _put(section, key, value):
    return lambda dataset: dataset[section][0].update({key: value})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: d.pop("categories"), r"it lacks \['categories'\]"),
        (_drop("categories", "frequency"), "frequency is none of r, c, f"),
        (_put("categories", "frequency", "often"), "frequency is none (?s:.*)'often'"),
        (_drop("images", "neg_category_ids"), "image lacks neg_category_ids"),
        (_put("annotations", "image_id", 9), "image_id is not in the file (?s:.*)1: 9"),
        (_put("annotations", "category_id", 9), "category_id is not in the file (?s:.*)1: 9"),
        (lambda d: d["annotations"].append(d["annotations"][0]), "once in annotations"),
        (lambda d: d["images"].append(d["images"][0]), "once in images"),
    ],
)
def test_files_that_would_give_wrong_numbers_are_refused(toy, tmp_path, damage, message):
    dataset = toy.dataset
    damage(dataset)
    path = tmp_path / "damaged.json"
    path.write_text(json.dumps(dataset))
    with pytest.raises(ValueError, match=rf"damaged\.json(?s:.*){message}"):
        LVISGroundTruth(str(path))


def test_json_of_another_kind_is_refused(tmp_path):
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ValueError, match="is not a COCO- or LVIS-format annotation file"):
        LVISGroundTruth(str(tmp_path / "list.json"))


def test_test_set_without_annotations_is_accepted(tmp_path):
    images = [{"id": 1, "height": 5, "width": 5}]
    categories = [{"id": 1, "name": "a", "frequency": "r"}]
    (tmp_path / "test.json").write_text(json.dumps({"images": images, "categories": categories}))
    assert not LVISGroundTruth(str(tmp_path / "test.json")).has_annotations


def test_areas_and_ids_are_completed(toy, tmp_path):
    toy.box(1, 2, (50, 50, 10, 10))
    toy.box(1, 2, (70, 70, 10, 10))
    first, second, third = toy.annotations
    del first["area"], second["area"]
    del second["segmentation"]
    third["area"], third["id"] = "7.5", 0
    annotations = LVISGroundTruth(toy.write(tmp_path / "gt.json")).dataset["annotations"]
    assert [a["area"] for a in annotations] == [400, 100, 7.5]
    assert [a["id"] for a in annotations] == [1, 2, 3]


@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_no_detection_at_all_is_ap_zero_where_there_is_ground_truth(toy, tmp_path, task):
    run = run_lvis_eval(LVISGroundTruth(toy.write(tmp_path / "gt.json")), [], task)
    assert (run.eval["precision"][:, :, 0, 0] == 0).all()
    assert (run.eval["recall"][:, 0, 0] == 0).all()
    assert (run.eval["precision"][:, :, 1] == -1).all()
