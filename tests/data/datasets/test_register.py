"""``DATASETS.REGISTER``: data sets of a config file."""

from pathlib import Path

import pytest
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import build_model
from toy_coco import CATEGORY_IDS, IMAGE_COUNT, PICTURES, write_toy_coco

from lt_det.config import add_lt_det_config
from lt_det.data.datasets.register import register_from_config
from lt_det.modeling.find_predictors import box_predictors

NAME = "lt_det_registered"


@pytest.fixture
def cfg():
    cfg = get_cfg()
    add_lt_det_config(cfg)
    yield cfg
    if NAME in DatasetCatalog:
        DatasetCatalog.remove(NAME)
        MetadataCatalog.remove(NAME)


def merge(cfg, folder: Path, text: str) -> None:
    path = folder / "config.yaml"
    path.write_text(f"DATASETS:\n  REGISTER:\n{text}\n")
    cfg.merge_from_file(path)


def test_a_coco_set_by_yaml_alone(cfg, tmp_path, monkeypatch):
    write_toy_coco(tmp_path / "mine")
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    merge(cfg, tmp_path, f"    - [{NAME}, coco, mine/annotations.json, mine/images]")
    for _ in range(2):
        register_from_config(cfg)
    records = DatasetCatalog.get(NAME)
    assert len(records) == len(PICTURES)
    assert all(Path(record["file_name"]).is_file() for record in records)
    # Sorted by image id, which falls with the number of the picture.
    expected = [sorted(abs(c) - 1 if c < 0 else c for c in classes) for classes in PICTURES[::-1]]
    assert [sorted(a["category_id"] for a in r["annotations"]) for r in records] == expected
    assert sum(a.get("iscrowd", 0) for r in records for a in r["annotations"]) == 2
    assert not any("neg_category_ids" in record for record in records)
    metadata = MetadataCatalog.get(NAME)
    assert metadata.evaluator_type == "coco"
    assert list(metadata.thing_dataset_id_to_contiguous_id) == list(CATEGORY_IDS)


def test_a_model_registers_what_its_statistics_need(cfg, tiny_cfg, tmp_path):
    """As in Detectron2's own training script, which builds the model first of all."""
    write_toy_coco(tmp_path / "mine")
    files = [str(tmp_path / "mine" / name) for name in ("annotations.json", "images")]
    tiny_cfg.DATASETS.REGISTER = [[NAME, "coco", *files]]
    tiny_cfg.DATASETS.TRAIN = (NAME,)
    tiny_cfg.MODEL.ROI_HEADS.NUM_CLASSES = len(CATEGORY_IDS)
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = "BalancedSoftmaxLoss"
    (predictor,) = box_predictors(build_model(tiny_cfg))
    assert tuple(predictor.cls_loss.class_stats.image_count) == IMAGE_COUNT


def test_an_lvis_set_by_yaml_alone(cfg, tmp_path, toy_lvis):
    merge(cfg, tmp_path, f"    - [{NAME}, lvis, {toy_lvis.val_json}, {toy_lvis.image_root}]")
    register_from_config(cfg)
    ours, same = DatasetCatalog.get(NAME), DatasetCatalog.get(toy_lvis.val)
    assert ours == same
    assert MetadataCatalog.get(NAME).evaluator_type == "lvis"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("name", r"entry of DATASETS\.REGISTER to be \[name, format.*got 'name'"),
        (f"[{NAME}, coco, a.json]", r"to be \[name, format, annotation file, image folder\]"),
        (f"[{NAME}, coco, a.json, 3]", r"to be \[name, format, annotation file, image folder\]"),
        (f"[{NAME}, voc, a.json, images]", r"unknown format 'voc'.*\['coco', 'lvis'\]"),
        ("[coco_2017_val, lvis, a.json, images]", r"'coco_2017_val' is taken.*another name"),
    ],
)
def test_bad_entries_say_what_is_wrong(cfg, tmp_path, entry, message):
    merge(cfg, tmp_path, f"    - {entry}")
    with pytest.raises(ValueError, match=message):
        register_from_config(cfg)


def test_one_name_for_two_folders_is_refused(cfg, tmp_path):
    cfg.DATASETS.REGISTER = [[NAME, "coco", "a.json", "one"], [NAME, "coco", "a.json", "two"]]
    with pytest.raises(ValueError, match="taken by another data set"):
        register_from_config(cfg)


def test_missing_files_are_named_when_they_are_needed(cfg, tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    cfg.DATASETS.REGISTER = [[NAME, "coco", "nowhere.json", "images"]]
    register_from_config(cfg)
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path}/nowhere\.json.*DETECTRON2_DATASETS"):
        DatasetCatalog.get(NAME)
