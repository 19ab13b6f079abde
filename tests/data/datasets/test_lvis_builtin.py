"""Detectron2's LVIS sets: classes against published tables, records against raw files."""

import json
from pathlib import Path

import numpy as np
import pytest
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import lvis_v0_5_categories, lvis_v1_categories
from detectron2.data.datasets.lvis import get_lvis_instances_meta, register_lvis_instances
from PIL import Image

from lt_det.class_stats import ClassStats
from lt_det.config import add_lt_det_config
from lt_det.data.datasets.lvis import register_lvis_format
from lt_det.data.datasets.lvis_builtin import extend_lvis_metadata, with_contiguous_federated_lists
from lt_det.data.loaders import build_train_loader
from lt_det.data.datasets.training_sets import training_dicts
from lt_det.engine.trainer import LTTrainer
from lt_det.evaluation.lvis_evaluator import PREDICTIONS_FILE
from paths import SHARED_DATA

DATA = SHARED_DATA
SPLITS = {
    "v0.5": ["lvis_v0.5_train", "lvis_v0.5_val", "lvis_v0.5_test"],
    "v1": ["lvis_v1_train", "lvis_v1_val", "lvis_v1_test_dev"],
}
CATEGORIES = {
    "v0.5": lvis_v0_5_categories.LVIS_CATEGORIES,
    "v1": lvis_v1_categories.LVIS_CATEGORIES,
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


# --- records -----------------------------------------------------------------------------------


@pytest.fixture
def register(tmp_path):
    """Registers two pictures as Detectron2 registers LVIS; ``annotations`` None is a test set's."""
    names = []

    def _register(version, annotations, name="mini_train"):
        images = []
        for number in (1, 2):
            path = f"train2017/{number:012}.jpg"
            images.append(
                {
                    "id": number,
                    "coco_url": f"http://images.cocodataset.org/{path}",
                    "height": 64,
                    "width": 64,
                    "neg_category_ids": [],
                    "not_exhaustive_category_ids": [],
                }
            )
            (tmp_path / path).parent.mkdir(exist_ok=True)
            Image.fromarray(np.full((64, 64, 3), 99, np.uint8)).save(tmp_path / path)
        images[0] |= {
            "neg_category_ids": [1, len(CATEGORIES[version])],
            "not_exhaustive_category_ids": [5],
        }
        content = {"images": images, "categories": CATEGORIES[version]}
        if annotations is not None:
            content["annotations"] = annotations
        names.append(f"lvis_{version}_{name}")
        path = tmp_path / f"{names[-1]}.json"
        path.write_text(json.dumps(content))
        metadata = get_lvis_instances_meta(f"lvis_{version}")
        register_lvis_instances(names[-1], metadata, str(path), f"{tmp_path}/")
        extend_lvis_metadata()
        return names[-1]

    yield _register
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


ANNOTATION = {
    "id": 1,
    "image_id": 1,
    "category_id": 5,
    "bbox": [8, 8, 40, 40],
    "area": 1600,
    "segmentation": [[8, 8, 48, 8, 48, 48, 8, 48]],
}


@pytest.fixture
def train_cfg(register, version, tiny_cfg):
    tiny_cfg.DATASETS.TRAIN = (register(version, [ANNOTATION]),)
    tiny_cfg.MODEL.ROI_HEADS.NUM_CLASSES = len(CATEGORIES[version])
    return tiny_cfg


@every_version
def test_all_splits_are_known_to_have_raw_lists(version):
    assert all(MetadataCatalog.get(name).loaded_by_detectron2 for name in SPLITS[version])


@every_version
def test_federated_lists_of_a_model_input_are_classes(train_cfg, version):
    (name,) = train_cfg.DATASETS.TRAIN
    last = len(CATEGORIES[version])
    for _ in range(2):  # a second reading starts from the raw ids again
        (picture, _) = next(iter(build_train_loader(train_cfg)))
        assert picture["image_id"] == 1
        assert set(picture["instances"].gt_classes.tolist()) == {4}
        assert picture["neg_category_ids"] == [0, last - 1]
        assert picture["not_exhaustive_category_ids"] == [4]
        # What Detectron2's catalog returns is Detectron2's.
        raw = DatasetCatalog.get(name)[0]
        assert raw["annotations"][0]["category_id"] == 4
        assert raw["neg_category_ids"] == [1, last]
        assert raw["not_exhaustive_category_ids"] == [5]


@pytest.mark.parametrize("version", ["v1"])
def test_given_records_stay_as_they_are(train_cfg, version):
    (name,) = train_cfg.DATASETS.TRAIN
    raw = DatasetCatalog.get(name)
    for _ in range(2):
        first, second = with_contiguous_federated_lists(raw, name)
        assert first["neg_category_ids"] == [0, 1202]
        assert second["neg_category_ids"] == []
        assert raw[0]["neg_category_ids"] == [1, 1203]
        assert first["annotations"] is raw[0]["annotations"]  # no copy of what is large


@pytest.mark.parametrize("version", ["v1"])
def test_lists_of_our_own_format_are_classes_already(train_cfg, toy_lvis):
    train_cfg.DATASETS.TRAIN = (toy_lvis.train, *train_cfg.DATASETS.TRAIN, toy_lvis.train)
    toy = DatasetCatalog.get(toy_lvis.train)
    toy = [record for record in toy if record["annotations"]]
    assert toy[-1]["neg_category_ids"] == [4]  # category 41
    records = training_dicts(train_cfg)
    assert records[: len(toy)] == toy
    assert records[len(toy)]["neg_category_ids"] == [0, 1202]
    assert records[len(toy) + 1 :] == toy


def test_no_training_set_is_named(tiny_cfg):
    tiny_cfg.DATASETS.TRAIN = ()
    with pytest.raises(ValueError, match=r"DATASETS\.TRAIN is empty"):
        training_dicts(tiny_cfg)


def test_a_users_set_of_such_a_name_keeps_its_classes(toy_lvis):
    name = "lvis_v1_of_a_user"
    register_lvis_format(name, toy_lvis.train_json, toy_lvis.image_root)
    try:
        records = DatasetCatalog.get(name)
        extend_lvis_metadata()
        metadata = MetadataCatalog.get(name)
        assert list(metadata.thing_dataset_id_to_contiguous_id) == list(toy_lvis.category_ids)
        assert with_contiguous_federated_lists(records, name) is records
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


@pytest.mark.integration
@pytest.mark.parametrize("annotations", [None, []])
def test_a_test_set_is_evaluated_to_predictions_without_ap(register, tiny_cfg, annotations):
    """With and without the empty list that the LVIS API insists on."""
    name = register("v1", annotations, "mini_test_dev")
    tiny_cfg.DATASETS.TEST = (name,)
    tiny_cfg.DATASETS.CLASS_STATS_FILE = "checkpoint"
    tiny_cfg.MODEL.ROI_HEADS.NUM_CLASSES = 1203
    tiny_cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.5
    model = LTTrainer.build_model(tiny_cfg)
    model.roi_heads.box_predictor.cls_score.bias.data[1202] = 20.0  # the last class is everywhere
    assert LTTrainer.test(tiny_cfg, model) == {}
    (path,) = Path(tiny_cfg.OUTPUT_DIR, "inference", name).iterdir()
    assert path.name == PREDICTIONS_FILE
    predictions = json.loads(path.read_text())
    assert {prediction["image_id"] for prediction in predictions} == {1, 2}
    assert {prediction["category_id"] for prediction in predictions} == {1203}
    assert {"bbox", "segmentation"} <= set(predictions[0])
