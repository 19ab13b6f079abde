"""A user's COCO-format data, from a YAML file to a table, without a line of code."""

import json
import math
from types import SimpleNamespace

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from toy_coco import CATEGORY_IDS, write_toy_coco

from lt_det.engine.run import run_from_args

TRAIN, VAL = "lt_det_mine_train", "lt_det_mine_val"


@pytest.fixture
def arguments(tiny_cfg, tmp_path):
    folder = write_toy_coco(tmp_path / "mine")
    entries = [
        [name, "coco", str(folder / "annotations.json"), str(folder / "images")]
        for name in (TRAIN, VAL)
    ]
    tiny_cfg.DATASETS.REGISTER = entries
    tiny_cfg.DATASETS.TRAIN, tiny_cfg.DATASETS.TEST = (TRAIN,), (VAL,)
    tiny_cfg.DATASETS.GROUP_THRESHOLDS = (2, 4)
    tiny_cfg.MODEL.ROI_HEADS.NUM_CLASSES = len(CATEGORY_IDS)
    tiny_cfg.INPUT.MASK_FORMAT = "bitmask"
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = "BalancedSoftmaxLoss"
    path = tmp_path / "config.yaml"
    path.write_text(tiny_cfg.dump())

    def _arguments(*opts, **flags):
        defaults = {"resume": False, "eval_only": False, "num_gpus": 0}
        return SimpleNamespace(config_file=str(path), opts=list(opts), **{**defaults, **flags})

    yield _arguments
    for name in (TRAIN, VAL):
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


@pytest.mark.integration
def test_train_then_evaluate(arguments, tiny_cfg, tmp_path):
    results = run_from_args(arguments("SOLVER.MAX_ITER", 2))
    assert set(results) == {"bbox", "segm"}
    weights = f"{tiny_cfg.OUTPUT_DIR}/model_final.pth"
    # Somewhere else, without the training set: the groups are those of the checkpoint.
    output = tmp_path / "elsewhere"
    opts = ["MODEL.WEIGHTS", weights, "OUTPUT_DIR", str(output), "DATASETS.TRAIN", "()"]
    again = run_from_args(arguments(*opts, eval_only=True))
    for task, metrics in results.items():
        for name, value in metrics.items():
            assert again[task][name] == value or math.isnan(value), name
    assert not any(math.isnan(again["bbox"][name]) for name in ("AP", "APr", "APc", "APf"))
    written = json.loads((output / "inference" / VAL / "results.json").read_text())
    assert written["bbox"]["APr"] == again["bbox"]["APr"]


@pytest.mark.integration
def test_wrong_number_of_classes_is_named(arguments):
    with pytest.raises(ValueError, match=rf"NUM_CLASSES is 4, but data set '{TRAIN}' has 3"):
        run_from_args(arguments("MODEL.ROI_HEADS.NUM_CLASSES", 4))
