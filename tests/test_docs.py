"""The snippets of docs/ run, one after the other, as a reader would type them."""

import re
from pathlib import Path

import pytest
import yaml
from detectron2.data import DatasetCatalog, MetadataCatalog
from toy_coco import write_toy_coco

from lt_det.data.lvis import register_lvis_format
from lt_det.data.register import register_from_config
from lt_det.losses import BalancedSoftmaxLoss
from lt_det.modeling.box_predictor import box_predictors

PLUG_IN = (Path(__file__).parents[1] / "docs" / "plug-in.md").read_text()


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PLUG_IN, re.DOTALL)


@pytest.fixture
def place(tiny_cfg, toy_lvis, tmp_path, monkeypatch):
    """A folder with what the snippets assume: ``config.yaml`` and the data set ``my_train``."""
    monkeypatch.chdir(tmp_path)
    register_lvis_format("my_train", toy_lvis.train_json, toy_lvis.image_root)
    tiny_cfg.DATASETS.TRAIN = ("my_train",)
    (tmp_path / "config.yaml").write_text(tiny_cfg.dump())
    yield tmp_path
    for name in ("my_train", "my_set_train", "my_set_val"):
        if name in DatasetCatalog:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)


@pytest.mark.integration
def test_python_snippets_run_and_end_with_a_balanced_model(place):
    namespace, models = {}, 0
    for source in snippets("python"):
        exec(compile(source, "docs/plug-in.md", "exec"), namespace)
        if "model = " in source or "install_box" in source:
            losses = {type(p.cls_loss) for p in box_predictors(namespace["model"])}
            assert losses == {BalancedSoftmaxLoss}, source
            models += 1
    assert models == 4
    assert namespace["stats"].num_classes == 5


def test_yaml_snippet_registers(place, tiny_cfg, monkeypatch):
    (source,) = snippets("yaml")
    folder = write_toy_coco(place / "my_set")
    for split in ("train", "val"):
        (folder / "annotations.json").with_name(f"{split}.json").write_bytes(
            (folder / "annotations.json").read_bytes()
        )
    monkeypatch.setenv("DETECTRON2_DATASETS", str(place))
    values = yaml.safe_load(source)
    (place / "mine.yaml").write_text(source)
    tiny_cfg.merge_from_file(place / "mine.yaml")
    register_from_config(tiny_cfg)
    for name in values["DATASETS"]["TRAIN"] + values["DATASETS"]["TEST"]:
        assert len(DatasetCatalog.get(name)) == 11
        assert len(MetadataCatalog.get(name).thing_classes) == 3
    assert tiny_cfg.MODEL.ROI_HEADS.NUM_CLASSES == 3
