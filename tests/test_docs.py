"""The snippets of docs/ run, one after the other, as a reader would type them."""

import json
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
import yaml
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode, get_cfg
from detectron2.data import (
    DatasetCatalog,
    DatasetMapper,
    MetadataCatalog,
    get_detection_dataset_dicts,
)
from detectron2.modeling import build_model
from paths import ROOT
from toy_coco import CATEGORY_IDS, IMAGE_COUNT, write_toy_coco

from lt_det.data.datasets.lvis import register_lvis_format
from lt_det.data.datasets.register import register_from_config
from lt_det.losses import BalancedSoftmaxLoss
from lt_det.modeling.find_predictors import box_predictors

PLUG_IN = (ROOT / "docs" / "plug-in.md").read_text()
STOCK_SCRIPT = (ROOT / "tests" / "helpers" / "stock_train_net.py").read_text()
OUR_BUFFERS = "roi_heads.box_predictor.cls_loss.class_stats."


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


# --- Detectron2's own training script ----------------------------------------------------------


def two_lines_and_command() -> tuple[str, list[str]]:
    """What the section on Detectron2's script says to add, and the options it is run with."""
    section = PLUG_IN.split("## Detectron2's own `tools/train_net.py`")[1].split("\n## ")[0]
    lines, command = re.findall(r"(?:^ {4}.*\n)+", section, re.MULTILINE)
    _, script, flag, _, *options = shlex.split(textwrap.dedent(command).replace("\\\n", ""))
    assert (script, flag) == ("tools/train_net.py", "--config-file")
    return lines, options


def keys_of_detectron2(cfg: CfgNode, stock: CfgNode) -> CfgNode:
    return CfgNode(
        {
            key: keys_of_detectron2(cfg[key], value) if isinstance(value, CfgNode) else cfg[key]
            for key, value in stock.items()
        }
    )


@pytest.fixture
def run_script(tiny_cfg, tmp_path):
    """Returns a function that runs a script on the toy set; it gives the checkpoint's model."""
    write_toy_coco(tmp_path / "mine")
    tiny_cfg.DATASETS.TRAIN, tiny_cfg.DATASETS.TEST = ("mine_train",), ("mine_val",)
    tiny_cfg.INPUT.MASK_FORMAT = "bitmask"
    tiny_cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    tiny_cfg.MODEL.ROI_HEADS.NUM_CLASSES = len(CATEGORY_IDS)
    tiny_cfg.SOLVER.MAX_ITER = 2
    (tmp_path / "config.yaml").write_text(keys_of_detectron2(tiny_cfg, get_cfg()).dump())

    def _run(script: str, *options: str) -> Path:
        (tmp_path / "train_net.py").write_text(script)
        command = [sys.executable, "train_net.py", "--config-file", "config.yaml", *options]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr
        return Path(tiny_cfg.OUTPUT_DIR) / "model_final.pth"

    return _run


@pytest.fixture
def models(tiny_cfg, run_script):
    """A balanced model and a stock one, of the script's config but of other weights."""
    stock = build_model(tiny_cfg)
    ours_cfg = tiny_cfg.clone()
    ours_cfg.DATASETS.CLASS_STATS_FILE = "checkpoint"
    ours_cfg.merge_from_list(two_lines_and_command()[1])
    return build_model(ours_cfg), stock


def assert_same_detections(models, cfg, dataset_name) -> None:
    mapper = DatasetMapper(cfg, is_train=False)
    batch = [mapper(record) for record in get_detection_dataset_dicts([dataset_name])]
    with torch.no_grad():
        detections = [[o["instances"] for o in model.eval()(batch)] for model in models]
    assert sum(map(len, detections[0])) > 8
    for a, b in zip(*detections, strict=True):
        assert a.pred_boxes.tensor.equal(b.pred_boxes.tensor)
        for field in ("scores", "pred_classes", "pred_masks"):
            assert a.get(field).equal(b.get(field)), field


@pytest.mark.integration
def test_two_lines_in_detectron2s_script(run_script, models, tiny_cfg, toy_lvis):
    lines, options = two_lines_and_command()
    place = "    cfg = get_cfg()\n"
    assert STOCK_SCRIPT.count(place) == 1
    checkpoint = run_script(STOCK_SCRIPT.replace(place, place + lines), *options)

    state = torch.load(checkpoint, weights_only=True)["model"]
    assert state[f"{OUR_BUFFERS}image_count"].tolist() == list(IMAGE_COUNT)
    metrics = (checkpoint.parent / "metrics.json").read_text().splitlines()
    assert "bbox/AP" in json.loads(metrics[-1])
    # Into a stock model: every parameter is there, and nothing else but our statistics.
    ours, stock = models
    missing, unexpected = stock.load_state_dict(state, strict=False)
    assert not missing
    assert all(name.startswith(OUR_BUFFERS) for name in unexpected)
    for model in models:
        DetectionCheckpointer(model).load(str(checkpoint))
    assert ours.roi_heads.box_predictor.cls_loss.class_stats.value().num_images == 9
    assert_same_detections(models, tiny_cfg, toy_lvis.val)


@pytest.mark.integration
def test_checkpoint_of_detectron2s_script(run_script, models, tiny_cfg, toy_lvis):
    checkpoint = run_script(STOCK_SCRIPT)
    state = torch.load(checkpoint, weights_only=True)["model"]
    ours, _ = models
    missing, unexpected = ours.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.startswith(OUR_BUFFERS) for name in missing)
    for model in models:
        DetectionCheckpointer(model).load(str(checkpoint))
    assert_same_detections(models, tiny_cfg, toy_lvis.val)
