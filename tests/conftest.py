"""Shared set-up: one thread a process, the same random state for every test, toy data."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from lt_det.class_stats import ClassStats

# Test processes run side by side (pytest -n); more threads each only make them wait.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("LT_DET_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def class_stats() -> ClassStats:
    """Long-tailed counts of K = 4 classes in which images and instances tell different stories."""
    return ClassStats(
        num_classes=4,
        num_images=200,
        image_count=np.array([180, 60, 11, 2]),
        instance_count=np.array([400, 900, 15, 2]),
    )


@pytest.fixture
def event_storage() -> Iterator:
    """Detectron2's metric storage, which every training forward pass writes to."""
    from detectron2.utils.events import EventStorage

    with EventStorage() as storage:
        yield storage


@dataclass(frozen=True)
class ToyLVIS:
    """Names and files of the toy data set.

    Class by class, ``image_count`` and ``instance_count`` are what the train split holds.
    """

    train: str
    val: str
    train_json: Path
    val_json: Path
    image_root: Path
    category_ids: tuple[int, ...] = (3, 7, 8, 20, 41)
    image_count: tuple[int, ...] = (6, 3, 1, 0, 1)
    instance_count: tuple[int, ...] = (8, 3, 1, 0, 2)

    @property
    def num_classes(self) -> int:
        return len(self.category_ids)


# Contiguous classes of the annotations of each picture; picture 5 is empty, class 3 absent.
_TOY_PICTURES = ([0], [0, 0], [0, 1], [0, 0, 1], [], [0, 4, 4], [0, 2], [1])


@pytest.fixture(scope="session")
def toy_lvis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyLVIS]:
    """Eight pictures of 64x64, registered twice: polygons in train, RLE masks in val."""
    from detectron2.data import DatasetCatalog, MetadataCatalog

    from lt_det.data.datasets.lvis import register_lvis_format

    folder = tmp_path_factory.mktemp("toy_lvis")
    toy = ToyLVIS(
        train="lt_det_toy_train",
        val="lt_det_toy_val",
        train_json=folder / "train.json",
        val_json=folder / "val.json",
        image_root=folder / "images",
    )
    _write_toy(toy, toy.train_json, rle=False)
    _write_toy(toy, toy.val_json, rle=True)
    register_lvis_format(toy.train, toy.train_json, toy.image_root)
    register_lvis_format(toy.val, toy.val_json, toy.image_root)
    yield toy
    for name in (toy.train, toy.val):
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def _write_toy(toy: ToyLVIS, json_file: Path, rle: bool) -> None:
    """Draw one grey square of its own brightness for every object and write the annotations."""
    from PIL import Image
    from pycocotools import mask as mask_api

    rng = np.random.default_rng(0)
    toy.image_root.mkdir(exist_ok=True)
    images, annotations = [], []
    for index, classes in enumerate(_TOY_PICTURES):
        pixels = rng.integers(0, 60, (64, 64, 3), dtype=np.uint8)
        for position, class_id in enumerate(classes):
            x, y = 2 + 20 * position, 5 + 4 * index
            pixels[y : y + 18, x : x + 18] = 90 + 30 * class_id
            mask = np.zeros((64, 64), dtype=np.uint8, order="F")
            mask[y : y + 18, x : x + 18] = 1
            encoded = mask_api.encode(mask)
            encoded["counts"] = encoded["counts"].decode()
            polygon = [x, y, x + 18, y, x + 18, y + 18, x, y + 18]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": 100 - index,
                    "category_id": toy.category_ids[class_id],
                    "bbox": [x, y, 18, 18],
                    "area": 18 * 18,
                    "segmentation": encoded if rle else [[float(v) for v in polygon]],
                }
            )
        Image.fromarray(pixels).save(toy.image_root / f"{index}.png")
        images.append(
            {
                "id": 100 - index,  # in the file's order, ids go down
                "file_name": f"{index}.png",
                "height": 64,
                "width": 64,
                "neg_category_ids": [41] if index == 0 else [],
                "not_exhaustive_category_ids": [3] if index == 1 else [],
            }
        )
    categories = [
        {"id": category_id, "name": f"class {category_id}", "frequency": frequency}
        for category_id, frequency in zip(toy.category_ids, "fcrrr", strict=True)
    ]
    json_file.write_text(
        json.dumps(
            {
                "images": images,
                "annotations": annotations,
                "categories": categories[::-1],  # nor do ids go up here
            }
        )
    )


@pytest.fixture
def tiny_cfg(make_tiny_cfg: Callable, tmp_path: Path):
    """See :func:`_tiny_cfg`."""
    return make_tiny_cfg(tmp_path / "output")


@pytest.fixture(scope="session")
def make_tiny_cfg(toy_lvis: ToyLVIS) -> Callable:
    """Makes ``tiny_cfg`` for fixtures that several tests share: output folder -> config."""
    return partial(_tiny_cfg, toy_lvis)


def _tiny_cfg(toy_lvis: ToyLVIS, output_dir: Path):
    """A Mask R-CNN R18-FPN of 16 channels on the toy data, with lt_det's heads and keys."""
    from detectron2.config import get_cfg

    from lt_det.config import add_lt_det_config

    cfg = get_cfg()
    add_lt_det_config(cfg)
    cfg.OUTPUT_DIR = str(output_dir)
    cfg.SEED = 1
    cfg.DATASETS.TRAIN = (toy_lvis.train,)
    cfg.DATASETS.TEST = (toy_lvis.val,)
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.INPUT.MIN_SIZE_TRAIN = (64,)
    cfg.INPUT.MAX_SIZE_TRAIN = cfg.INPUT.MIN_SIZE_TEST = cfg.INPUT.MAX_SIZE_TEST = 64
    cfg.SOLVER.IMS_PER_BATCH = 2
    cfg.SOLVER.MAX_ITER = 4
    cfg.SOLVER.BASE_LR = 0.01
    cfg.SOLVER.WARMUP_ITERS = 0
    _shrink_model(cfg.MODEL, toy_lvis.num_classes)
    return cfg


@pytest.fixture
def narrow_detector(monkeypatch):
    """The benchmarks' detector, narrow and of K = 5."""
    from benchmarks.parts import meta_sides

    whole = meta_sides.stage_two_config

    def narrow(*args):
        cfg = whole(*args)
        cfg.MODEL.RESNETS.STEM_OUT_CHANNELS = cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 8
        cfg.MODEL.RESNETS.WIDTH_PER_GROUP = 4
        cfg.MODEL.FPN.OUT_CHANNELS = cfg.MODEL.ROI_MASK_HEAD.CONV_DIM = 16
        cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 32
        return cfg

    monkeypatch.setattr(meta_sides, "stage_two_config", narrow)
    monkeypatch.setattr(meta_sides, "NUM_CLASSES", 5)


def _shrink_model(model, num_classes: int) -> None:
    model.DEVICE = "cpu"
    model.WEIGHTS = ""
    model.MASK_ON = True
    model.BACKBONE.NAME = "build_resnet_fpn_backbone"
    model.BACKBONE.FREEZE_AT = 0
    model.RESNETS.DEPTH = 18
    model.RESNETS.RES2_OUT_CHANNELS = 64
    model.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    model.RESNETS.NORM = "BN"
    model.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
    model.FPN.OUT_CHANNELS = 16
    model.ANCHOR_GENERATOR.SIZES = [[8], [16], [32], [64], [128]]
    model.RPN.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
    model.RPN.BATCH_SIZE_PER_IMAGE = 16
    model.RPN.PRE_NMS_TOPK_TRAIN = model.RPN.PRE_NMS_TOPK_TEST = 40
    model.RPN.POST_NMS_TOPK_TRAIN = model.RPN.POST_NMS_TOPK_TEST = 40
    model.ROI_HEADS.NAME = "LTStandardROIHeads"
    model.ROI_HEADS.NUM_CLASSES = num_classes
    model.ROI_HEADS.IN_FEATURES = ["p2", "p3", "p4", "p5"]
    model.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 16
    model.ROI_HEADS.SCORE_THRESH_TEST = 0.0
    model.ROI_BOX_HEAD.NAME = "FastRCNNConvFCHead"
    model.ROI_BOX_HEAD.NUM_FC = 1
    model.ROI_BOX_HEAD.FC_DIM = 32
    model.ROI_BOX_HEAD.POOLER_RESOLUTION = 3
    model.ROI_MASK_HEAD.NAME = "MaskRCNNConvUpsampleHead"
    model.ROI_MASK_HEAD.NUM_CONV = 1
    model.ROI_MASK_HEAD.CONV_DIM = 8
    model.ROI_MASK_HEAD.POOLER_RESOLUTION = 4
