"""The benchmark `load`: the file it generates, and that all sides load it. Nothing is timed."""

import json
import os

import numpy as np
import pytest
from detectron2.data import DatasetCatalog
from detectron2.data.datasets.lvis_v1_category_image_count import LVIS_CATEGORY_IMAGE_COUNT

from lt_det.data.datasets.record_source import dataset_records

from benchmarks import load, run_benchmark
from benchmarks.parts import load_sides
from benchmarks.parts.load_sides import LoadSides, registered_file
from benchmarks.parts.lvis_shaped import write_lvis_shaped


@pytest.fixture(scope="module")
def json_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("shaped") / "train.json"
    write_lvis_shaped(path, 1000)
    return path


@pytest.fixture(scope="module")
def content(json_file):
    return json.loads(json_file.read_text())


def test_the_file_has_the_shape_of_lvis_v1(json_file, content):
    annotations = content["annotations"]
    # 1,270,141 objects of 847 bytes in 100,170 pictures, a little more as no class is left out.
    assert len(annotations) / 1000 == pytest.approx(12.68 + 203 * 3.52 / 1000, rel=0.1)
    assert json_file.stat().st_size / len(annotations) == pytest.approx(847, rel=0.03)
    assert {a["category_id"] for a in annotations} == set(range(1, 1204))
    assert [image["id"] for image in content["images"]] == list(range(1, 1001))


def test_classes_have_their_share_of_pictures(content):
    pairs = {(a["category_id"], a["image_id"]) for a in content["annotations"]}
    found = np.bincount([category_id for category_id, _ in pairs], minlength=1204)
    for category in LVIS_CATEGORY_IMAGE_COUNT:
        expected = max(1, round(category["image_count"] / 100.17))
        assert abs(found[category["id"]] - expected) <= 1


def test_masks_and_lists_make_sense(content):
    classes = {image["id"]: set() for image in content["images"]}
    for annotation in content["annotations"]:
        classes[annotation["image_id"]].add(annotation["category_id"])
        x, y, width, height = annotation["bbox"]
        for polygon in annotation["segmentation"]:
            points = np.array(polygon).reshape(-1, 2)
            assert len(points) >= 3
            assert (points >= [x - 0.01, y - 0.01]).all()
            assert (points <= [x + width + 0.02, y + height + 0.02]).all()
    for image in content["images"]:
        assert not classes[image["id"]] & set(image["neg_category_ids"])
        assert set(image["not_exhaustive_category_ids"]) <= classes[image["id"]]


def test_equal_seeds_write_equal_files(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_lvis_shaped(tmp_path / name, 5, seed)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_the_sides_load_the_same(json_file, tmp_path):
    cache = tmp_path / "another cache"
    before = os.environ["LT_DET_CACHE"]
    with registered_file(json_file, cache):
        sides = LoadSides(json_file, cache)
        sides.first()
        (path,) = (cache / "records").glob("*.columns")
        inode = path.stat().st_ino
        sides.cached()
        assert path.stat().st_ino == inode
        assert list(dataset_records(load_sides.DATASET)) == sides.detectron2()
        sides.first()  # writes it anew
        (path,) = (cache / "records").glob("*.columns")
    assert os.environ["LT_DET_CACHE"] == before
    assert load_sides.DATASET not in DatasetCatalog


@pytest.mark.integration
def test_load_reports_its_figures(monkeypatch):
    monkeypatch.setattr(load, "NUM_IMAGES", 400)
    monkeypatch.setattr(load, "ROUNDS", 2)
    result = run_benchmark("load", quick=True)
    assert json.loads(result.to_json())["quick"]
    assert set(result.figures) == {
        "first_ratio",
        "cached_ratio",
        "cached_peak_mib",
        "cached_all_ratio",
        "detectron2_cpu_s",
    }
    assert all(value > 0 for value in result.figures.values())
    assert result.text.startswith("20 pictures")
