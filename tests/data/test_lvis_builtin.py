"""The classes of Detectron2's LVIS sets, against published class tables."""

import json
from pathlib import Path

import pytest
from detectron2.config import get_cfg
from detectron2.data import MetadataCatalog

from lt_det.class_stats import ClassStats
from lt_det.config import add_lt_det_config
from lt_det.data.lvis_builtin import extend_lvis_metadata

DATA = Path(__file__).parents[3] / "shared/data"
SPLITS = {
    "v0.5": ["lvis_v0.5_train", "lvis_v0.5_val", "lvis_v0.5_test"],
    "v1": ["lvis_v1_train", "lvis_v1_val", "lvis_v1_test_dev"],
}
TABLES = {"v0.5": "lvis_v0_5_train_cat_info.json", "v1": "lvis_v1_train_cat_info.json"}
every_version = pytest.mark.parametrize("version", SPLITS)


@pytest.fixture(autouse=True)
def _extended():
    add_lt_det_config(get_cfg())
    extend_lvis_metadata()  # as often as you like


@pytest.fixture
def table(version):
    path = DATA / TABLES[version]
    if not path.is_file():
        pytest.skip(f"{path} is not on this machine")
    return sorted(json.loads(path.read_text()), key=lambda category: category["id"])


@every_version
def test_groups_are_the_published_ones_and_follow_from_the_counts(version, table):
    counts = [category["image_count"] for category in table]
    stats = ClassStats(len(table), max(counts), counts, counts)
    for name in SPLITS[version]:
        groups = MetadataCatalog.get(name).class_groups
        assert groups == ["rcf".index(category["frequency"]) for category in table]
        assert groups == stats.groups().tolist()


@every_version
def test_classes_and_ids_are_those_of_the_table(version, table):
    for name in SPLITS[version]:
        metadata = MetadataCatalog.get(name)
        # Detectron2 takes the first synonym, where v1's name may be another one.
        names = [category.get("synonyms", [category["name"]])[0] for category in table]
        assert metadata.thing_classes == names
        ids = metadata.thing_dataset_id_to_contiguous_id
        assert ids == {category["id"]: c for c, category in enumerate(table)}


def test_image_counts_of_v1_are_detectron2s():
    path = DATA / TABLES["v1"]
    if not path.is_file():
        pytest.skip(f"{path} is not on this machine")
    expected = {c["id"]: c["image_count"] for c in json.loads(path.read_text())}
    ours = MetadataCatalog.get("lvis_v1_train").class_image_count
    assert {c["id"]: c["image_count"] for c in ours} == expected


@every_version
def test_numbers_of_classes_by_group(version):
    """Published: v0.5 454 / 461 / 315, v1.0 337 / 461 / 405."""
    groups = MetadataCatalog.get(SPLITS[version][0]).class_groups
    expected = {"v0.5": [454, 461, 315], "v1": [337, 461, 405]}[version]
    assert [groups.count(g) for g in range(3)] == expected


def test_cocofied_sets_are_left_alone():
    assert MetadataCatalog.get("lvis_v0.5_train_cocofied").get("class_groups") is None
