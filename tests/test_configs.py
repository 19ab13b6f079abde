"""Every YAML file of ``configs/`` is a model that can be built and says what it is."""

import re
from pathlib import Path

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import MetadataCatalog

from lt_det.config import add_lt_det_config, check_config
from lt_det.engine.freeze import freeze_parameters
from lt_det.engine.trainer import LTTrainer
from lt_det.modeling import LTCascadeROIHeads
from lt_det.modeling.box_predictor import box_predictors

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "configs").rglob("*.yaml")
    if path.parent.name != "studies" and not path.name.startswith("Base-")
)
LVIS = [name for name in CONFIGS if "LVIS" in name]
every_config = pytest.mark.parametrize("name", CONFIGS)


def load(name: str):
    cfg = get_cfg()
    add_lt_det_config(cfg)
    cfg.merge_from_file(ROOT / name)
    cfg.MODEL.DEVICE = "meta"  # shapes without numbers: building is cheap
    return cfg


def expected_loss(name: str) -> str:
    """The loss by the file's name, ``<model>_<method>.yaml``."""
    balanced = "Balanced" if "_balanced_" in name else ""
    return f"{balanced}{'Sigmoid' if 'sigmoid' in name else 'Softmax'}Loss"


@every_config
def test_builds_what_its_name_says(name):
    cfg = load(name)
    check_config(cfg)
    with torch.device("meta"):
        model = LTTrainer.build_model(cfg)
    freeze_parameters(model, cfg.SOLVER.TRAINABLE_PARAMS)
    trainable = {n for n, parameter in model.named_parameters() if parameter.requires_grad}
    classifier = {n for n, _ in model.named_parameters() if ".cls_score." in n}
    predictors = list(box_predictors(model))
    assert {type(p.cls_loss).__name__ for p in predictors} == {expected_loss(name)}
    assert isinstance(model.roi_heads, LTCascadeROIHeads) == ("cascade" in name)
    assert len(predictors) == (3 if "cascade" in name else 1)
    assert (trainable == classifier) == ("stage2" in name)
    assert classifier <= trainable
    sampler = "ClassAwareTrainingSampler"
    assert (cfg.DATALOADER.SAMPLER_TRAIN == sampler) == ("class_aware" in name)


@every_config
def test_header_has_the_command_that_runs_it(name):
    header = re.match(r"(?:#.*\n)+", (ROOT / name).read_text()).group()
    command = re.search(r"#   python (\S+) .*--config-file (\S+)", header)
    assert (ROOT / command[1]).is_file()
    assert command[2] == name


@every_config
def test_stage_2_starts_from_a_stage_1(name):
    cfg = load(name)
    if "stage2" not in name:
        assert "output" not in cfg.MODEL.WEIGHTS
    elif cfg.MODEL.WEIGHTS.startswith("output/"):
        outputs = {load(other).OUTPUT_DIR for other in CONFIGS if "stage2" not in other}
        assert str(Path(cfg.MODEL.WEIGHTS).parent) in outputs
        assert Path(cfg.MODEL.WEIGHTS).name == "model_final.pth"
    else:
        assert cfg.MODEL.WEIGHTS.startswith("detectron2://LVISv0.5")


def test_no_two_write_to_one_folder():
    folders = [load(name).OUTPUT_DIR for name in CONFIGS]
    assert len(set(folders)) == len(folders)


@pytest.mark.parametrize("name", LVIS)
def test_lvis_configs_fit_their_data_set(name):
    cfg = load(name)
    for data_set in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST):
        version = "lvis_v1_" if "LVISv1-" in name else "lvis_v0.5_"
        assert data_set.startswith(version)
        assert len(MetadataCatalog.get(data_set).thing_classes) == cfg.MODEL.ROI_HEADS.NUM_CLASSES
    header = (ROOT / name).read_text()
    assert "Not measured here." in header
    assert "Published: " in header or "No published figure" in header
    assert (cfg.TEST.DETECTIONS_PER_IMAGE, cfg.SOLVER.IMS_PER_BATCH) == (300, 16)


@pytest.mark.parametrize("version", ["v0.5", "v1"])
def test_lvis_has_all_rows_of_both_versions(version):
    rows = {Path(name).stem for name in LVIS if f"LVIS{version}-" in name}
    other = {Path(name).stem for name in LVIS if f"LVIS{version}-" not in name}
    assert rows == other
    assert len(rows) == 18
