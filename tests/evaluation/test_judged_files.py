"""What `tools/evaluate.py` does with odd ground truth, training files and results."""

import json
import logging

import numpy as np
import pytest
from tool_modules import load_quiet_tool
from toy_lvis import A, B, ToyLVIS

from lt_det.data.inspection.file_faults import find_faults
from lt_det.evaluation.evaluate_files import evaluate_files, evaluator_of_files
from lt_det.evaluation.matching.ids import id_array
from lt_det.evaluation.matching.matches import Matches


@pytest.fixture
def toy():
    """Two classes, each with an object that is found in image 1 and one in image 2 that is not."""
    toy = ToyLVIS("rf")
    toy.image(1)
    toy.image(2)
    for image_id in (1, 2):
        toy.box(image_id, 1, A)
        toy.box(image_id, 2, B)
    return toy


RESULTS = [
    {"image_id": 1, "category_id": 1, "bbox": list(A), "score": 0.9},
    {"image_id": 1, "category_id": 2, "bbox": list(B), "score": 0.8},
]


def written(path, content, encoding="utf-8"):
    path.write_text(json.dumps(content), encoding=encoding)
    return str(path)


def ap50(ground_truth, results, tmp_path, **options):
    evaluator = evaluator_of_files(ground_truth, **options)
    evaluate_files(evaluator, results, output_dir=tmp_path / "out")
    return json.loads((tmp_path / "out" / "results.json").read_text())["bbox"]["AP50"]


def test_faults_are_those_of_inspect(toy, tmp_path):
    content = toy.dataset
    content["annotations"][0]["bbox"] = ["1", 2, 3, 4]
    content["annotations"][1]["area"] = "big"
    path = written(tmp_path / "gt.json", content)
    faults = list(find_faults(content, str(tmp_path / "gone"), is_lvis=True))[:2]
    for arguments in (
        {"ground_truth": path},
        {"ground_truth": _good(tmp_path), "train_file": path},
    ):
        with pytest.raises(ValueError, match=r"\.json has 2 faults:") as caught:
            evaluator_of_files(**arguments)
        for fault in faults:
            assert fault.kind in str(caught.value)
            assert fault.where in str(caught.value)


def _good(tmp_path):
    toy = ToyLVIS("rf")
    toy.image(1)
    toy.box(1, 1, A)
    return toy.write(tmp_path / "good.json")


def test_a_training_file_of_other_names_is_refused(toy, tmp_path):
    ground_truth = toy.write(tmp_path / "gt.json")
    names = [category["name"] for category in toy.categories]
    for category, name in zip(toy.categories, reversed(names), strict=True):
        category["name"] = name
    train = toy.write(tmp_path / "train.json")
    message = "2 of 2 ids have other names, first id 1, which is 'class2' there and 'class1' in"
    with pytest.raises(ValueError, match=message):
        evaluator_of_files(ground_truth, train_file=train)


@pytest.mark.parametrize("data_format", [None, "lvis", "coco"])
def test_the_format_is_always_said(toy, tmp_path, caplog, data_format):
    caplog.set_level(logging.INFO)
    evaluator_of_files(toy.write(tmp_path / "gt.json"), data_format)
    expected = (data_format or "lvis").upper()
    assert f"gt.json' is read in the {expected} format" in caplog.text


def test_half_of_the_lvis_format_is_warned_of(toy, tmp_path, caplog):
    for image in toy.images.values():
        del image["neg_category_ids"], image["not_exhaustive_category_ids"]
    evaluator_of_files(toy.write(tmp_path / "gt.json"))
    assert "it is read as COCO" in caplog.text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_files_of_a_marked_encoding_are_read(toy, tmp_path, encoding):
    ground_truth = written(tmp_path / "gt.json", toy.dataset, encoding)
    results = written(tmp_path / "r.json", RESULTS, encoding)
    assert ap50(ground_truth, results, tmp_path) == pytest.approx(51 / 101 * 100)


@pytest.mark.parametrize("data_format", ["coco", "lvis"])
def test_ignored_objects_are_no_misses(toy, tmp_path, data_format):
    """The objects of image 2 are never found."""
    results = written(tmp_path / "r.json", RESULTS)
    for annotation in toy.annotations[2:]:
        annotation["ignore"] = 1
    ground_truth = toy.write(tmp_path / "gt.json")
    if data_format == "lvis":
        assert ap50(ground_truth, results, tmp_path) == pytest.approx(100)
        return
    with pytest.raises(ValueError, match="ignore is 1, which the COCO API does not read"):
        evaluator_of_files(ground_truth, data_format)
    options = {"data_format": data_format, "ignore": "crowd"}
    assert ap50(ground_truth, results, tmp_path, **options) == pytest.approx(100)


def test_left_out_objects_are_said(toy, tmp_path, caplog):
    for annotation in toy.annotations[2:]:
        annotation["bbox"] = [5, 5, 0, 7]
    results = written(tmp_path / "r.json", RESULTS)
    assert ap50(toy.write(tmp_path / "gt.json"), results, tmp_path) == pytest.approx(100)
    assert "without 2 objects that are left out of it: the official API on the file" in caplog.text


@pytest.mark.parametrize("data_format", ["coco", "lvis"])
def test_text_ids_stay_text(toy, tmp_path, data_format):
    """ "07" and "007" are two images."""
    name_of = {1: "07", 2: "007"}
    content = toy.dataset
    for image in content["images"]:
        image["id"] = name_of[image["id"]]
    for annotation in content["annotations"]:
        annotation["image_id"] = name_of[annotation["image_id"]]
    results = [{**r, "image_id": name_of[r["image_id"]]} for r in RESULTS]
    ground_truth = written(tmp_path / "gt.json", content)
    results = written(tmp_path / "r.json", results)
    found = ap50(ground_truth, results, tmp_path, data_format=data_format)
    assert found == pytest.approx(51 / 101 * 100)
    matches = Matches.load(tmp_path / "out" / "matches_bbox.npz")
    assert matches.image_ids.tolist() == ["007", "07"]
    assert matches.category_ids.tolist() == [1, 2]


@pytest.mark.parametrize("data_format", ["coco", "lvis"])
@pytest.mark.parametrize("keys", [("height",), ("height", "width")])
def test_boxes_need_no_image_sizes(toy, tmp_path, data_format, keys):
    expected = ap50(
        toy.write(tmp_path / "a.json"),
        written(tmp_path / "r.json", RESULTS),
        tmp_path,
        data_format=data_format,
    )
    for image in toy.images.values():
        for key in keys:
            del image[key]
    for annotation in toy.annotations:
        annotation["segmentation"] = None
    found = ap50(
        toy.write(tmp_path / "b.json"), tmp_path / "r.json", tmp_path, data_format=data_format
    )
    assert found == expected > 0


def test_whole_decimals_in_results_are_integers(toy, tmp_path, caplog):
    results = [{**r, "image_id": 1.0, "category_id": float(r["category_id"])} for r in RESULTS]
    ground_truth = toy.write(tmp_path / "gt.json")
    found = ap50(ground_truth, written(tmp_path / "r.json", results), tmp_path)
    assert found == pytest.approx(51 / 101 * 100)
    assert "ids of 2 entries are decimals" in caplog.text


def test_id_arrays():
    assert id_array([3, -1]).dtype == np.int64
    assert id_array([]).dtype == np.int64
    assert id_array(["07", "7"]).tolist() == ["07", "7"]


def test_the_command_takes_ignore(toy, tmp_path, monkeypatch, capsys):
    tool = load_quiet_tool("evaluate", monkeypatch)
    toy.annotations[0]["ignore"] = 1
    arguments = ["--ground-truth", toy.write(tmp_path / "gt.json"), "--format", "coco"]
    arguments += ["--predictions", written(tmp_path / "r.json", RESULTS)]
    assert tool.main(arguments) == 1
    assert "ignore is 1" in capsys.readouterr().err
    assert tool.main([*arguments, "--ignore", "crowd"]) == 0
