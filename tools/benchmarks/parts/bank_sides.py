"""The sides of the benchmark ``bank``: stage 2 in the detector, an extraction, steps from a bank.

Pictures and weights are those of :mod:`benchmarks.parts.meta_sides`, random, but the pictures are
files of a registered data set: both sides read, decode and augment them.
"""

from __future__ import annotations

import contextlib
import copy
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from lt_det.bank.extract_training_set import build_feature_bank
from lt_det.bank.feature_bank import FeatureBank
from lt_det.bank.training import classifier_steps
from lt_det.data.loaders import build_train_loader
from lt_det.engine.autocast_trainer import AutocastTrainer

from benchmarks.parts import meta_sides
from benchmarks.parts.meta_sides import (
    OBJECT_SIDES,
    Size,
    classifier_optimizer,
    hooked,
    lean_detector,
)

__all__ = ["BankSides", "registered_pictures"]

DATASET = "lt_det_benchmark_bank"
# As LVIS's pictures mostly are.
WIDTH, HEIGHT = 640, 480
# Pictures of a process in a step of the detector, as in stage 2 on 8 GPUs.
DETECTOR_BATCH = 2

Step = Callable[[], object]


class BankSides:
    """A detector in stage 2, its bank, and what the benchmark measures of them.

    Args:
        folder: for the bank and all outputs.
        size: of the work, with the pictures of :func:`registered_pictures`.
        batch_size: pictures of an extraction's forward pass.
    """

    def __init__(self, folder: Path, size: Size, batch_size: int):
        self._folder = folder
        self._model = lean_detector(size)
        self._cfg = _config(size, folder, batch_size)
        self._records = DatasetCatalog.get(DATASET)
        self.bank = self.extract()

    @property
    def num_extracted(self) -> int:
        """Forward passes of pictures in :meth:`extract`."""
        # The first batch passes twice, for an estimate of the bank's size.
        return len(self._records) + self._cfg.FEATURE_BANK.IMS_PER_BATCH

    @property
    def bytes_per_image(self) -> float:
        """Size on disk of a picture."""
        size = sum(path.stat().st_size for path in (self._folder / "bank").rglob("*.npy"))
        return size / len(self._records)

    def extract(self) -> FeatureBank:
        """Make the whole bank anew."""
        shutil.rmtree(self._folder / "bank", ignore_errors=True)
        with contextlib.redirect_stderr(io.StringIO()):  # progress bars
            return build_feature_bank(self._cfg, self._model, self._folder / "bank")

    def detector_step(self) -> Step:
        """A step of ``DETECTOR_BATCH`` pictures in the detector, as LTTrainer takes it."""
        cfg, model = self._cfg.clone(), copy.deepcopy(self._model)
        cfg.SOLVER.IMS_PER_BATCH = DETECTOR_BATCH
        optimizer = classifier_optimizer(model)
        return hooked(model, AutocastTrainer(model, build_train_loader(cfg), optimizer))

    @contextlib.contextmanager
    def bank_step(self, batch_size: int, meta_batch_size: int | None = None) -> Iterator[Step]:
        """A step from the bank; the Meta Reweighter's, if there is a meta batch."""
        cfg, model = self._cfg.clone(), copy.deepcopy(self._model)
        cfg.SOLVER.IMS_PER_BATCH = batch_size
        cfg.SOLVER.META.NAME = "MetaReweighter" if meta_batch_size else ""
        cfg.SOLVER.META.IMS_PER_BATCH = meta_batch_size or 0
        steps = classifier_steps(cfg, model, self.bank, self._records)
        with contextlib.closing(steps):
            yield lambda: next(steps)


@contextlib.contextmanager
def registered_pictures(folder: Path, number: int, size: Size) -> Iterator[None]:
    """Inside, ``DATASET`` has ``number`` pictures, whose files are in ``folder``."""
    rng = np.random.default_rng(0)
    records = [_record(folder / f"{index}.jpg", index, size, rng) for index in range(number)]
    DatasetCatalog.register(DATASET, lambda: copy.deepcopy(records))
    try:
        yield
    finally:
        DatasetCatalog.remove(DATASET)
        MetadataCatalog.pop(DATASET, None)


def _config(size: Size, folder: Path, batch_size: int) -> CfgNode:
    cfg = meta_sides.stage_two_config(size)
    cfg.DATASETS.TRAIN = (DATASET,)
    cfg.INPUT.MIN_SIZE_TRAIN = (size.short_side,)
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.FEATURE_BANK.IMS_PER_BATCH = batch_size
    cfg.OUTPUT_DIR = str(folder)
    # Names the bank's weights; nobody loads it.
    cfg.MODEL.WEIGHTS = str(folder / "model.pth")
    Path(cfg.MODEL.WEIGHTS).touch()
    return cfg


def _record(path: Path, index: int, size: Size, rng: np.random.Generator) -> dict:
    """A picture's record in Detectron2's format; its file is written."""
    coarse = rng.integers(256, size=(HEIGHT // 16, WIDTH // 16, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.BICUBIC).save(path, quality=90)
    sides = rng.uniform(*OBJECT_SIDES, (size.num_objects, 2)) * HEIGHT / size.short_side
    corners = rng.uniform(0, (WIDTH, HEIGHT) - sides)
    annotations = [
        {
            "bbox": [x0, y0, x1, y1],
            "bbox_mode": 0,
            "category_id": int(rng.integers(meta_sides.NUM_CLASSES)),
            "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
        }
        for x0, y0, x1, y1 in np.concatenate([corners, corners + sides], axis=1).tolist()
    ]
    return {
        "file_name": str(path),
        "image_id": index,
        "height": HEIGHT,
        "width": WIDTH,
        "annotations": annotations,
    }
