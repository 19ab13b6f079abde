"""A trained model on a user's own pictures, drawn."""

from __future__ import annotations

import argparse
import glob
import logging
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from detectron2.data import transforms as T
from detectron2.data.detection_utils import read_image
from detectron2.structures import Instances
from detectron2.utils.visualizer import ColorMode, Visualizer
from tqdm import tqdm

from lt_det.config import check_config
from lt_det.engine.check_start import require_weights
from lt_det.engine.checkpoint import LTCheckpointer
from lt_det.engine.run import config_from_args
from lt_det.engine.trainer import LTTrainer

__all__ = ["Predictor", "find_pictures", "run_from_args"]

logger = logging.getLogger(__name__)


class Drawn(NamedTuple):
    """A drawn image.

    Attributes:
        path: the file that was written.
        number: of detections in it.
        best_score: of all detections, the drawn ones and those below the threshold; 0 for none.
    """

    path: Path
    number: int
    best_score: float


class Predictor:
    """``MODEL.WEIGHTS`` as a function from a picture to its detections.

    As Detectron2's DefaultPredictor, but for the checkpoint, which is checked as in evaluation, and
    the training set, which is not needed.

    Args:
        cfg: a config for evaluation (``DATASETS.CLASS_STATS_FILE: "checkpoint"``).

    Raises:
        ValueError: if ``MODEL.WEIGHTS`` is empty or does not fit.
        FileNotFoundError: if it is not there.
    """

    def __init__(self, cfg: CfgNode):
        require_weights(cfg)
        check_config(cfg)
        self._model = LTTrainer.build_model(cfg).eval()
        LTCheckpointer(self._model).load(cfg.MODEL.WEIGHTS, checkpointables=[])
        self._resize = T.ResizeShortestEdge([cfg.INPUT.MIN_SIZE_TEST] * 2, cfg.INPUT.MAX_SIZE_TEST)
        self._flip_channels = cfg.INPUT.FORMAT == "RGB"

    @torch.no_grad()
    def __call__(self, image: np.ndarray) -> Instances:
        """Detections of an (H, W, 3) BGR picture, on the CPU."""
        height, width = image.shape[:2]
        pixels = image[:, :, ::-1] if self._flip_channels else image
        pixels = self._resize.get_transform(pixels).apply_image(pixels)
        tensor = torch.from_numpy(
            np.ascontiguousarray(pixels.astype(np.float32).transpose(2, 0, 1))
        )
        output = self._model([{"image": tensor, "height": height, "width": width}])[0]
        return output["instances"].to("cpu")


def find_pictures(patterns: Sequence[str]) -> list[Path]:
    """Files that match, folders' content included.

    Raises:
        FileNotFoundError: naming a pattern that matches nothing.
    """
    found: list[Path] = []
    for pattern in patterns:
        matches = sorted(glob.glob(os.path.expanduser(pattern)))
        if not matches:
            raise FileNotFoundError(f"No picture matches --input {pattern!r}")
        for path in map(Path, matches):
            found += sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    return found


def run_from_args(args: argparse.Namespace) -> list[Path]:
    """The job of ``tools/demo.py``; returns the pictures it wrote."""
    pictures = find_pictures(args.input)
    cfg = config_from_args(argparse.Namespace(**vars(args), eval_only=True))
    predictor, metadata = Predictor(cfg), _metadata(cfg)
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    drawn = {d.path: d for d in _draw_all(predictor, pictures, metadata, args.threshold, output)}
    number = sum(d.number for d in drawn.values())
    logger.log(
        logging.INFO if number else logging.WARNING,
        "%d detections of score %g or more on %d of %d pictures, drawn to %s%s",
        number,
        args.threshold,
        len(drawn),
        len(pictures),
        output,
        "" if number else _best_score(drawn.values(), cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST),
    )
    return list(drawn)


def _best_score(drawn: Iterable[Drawn], least: float) -> str:
    """What was nearest to a detection that is drawn."""
    best = max((d.best_score for d in drawn), default=0.0)
    if not best:
        return f". None has a score above MODEL.ROI_HEADS.SCORE_THRESH_TEST {least:g}"
    # Rounded down, so that it can be given as the threshold.
    named = math.floor(1000 * best) / 1000 or f"{best:.1g}"
    return f". The best score seen is {named}: a lower --threshold draws it"


def _draw_all(
    predictor: Predictor, pictures: list[Path], metadata: Metadata, threshold: float, output: Path
) -> Iterator[Drawn]:
    for path in tqdm(pictures, desc="pictures", unit="img"):
        try:
            image = read_image(str(path), format="BGR")
        except (OSError, ValueError) as error:
            logger.warning("%s is no picture that can be read, passed over: %s", path, error)
            continue
        instances = predictor(image)
        best_score = max(instances.scores.tolist(), default=0.0)
        instances = instances[instances.scores >= threshold]
        canvas = Visualizer(image[:, :, ::-1], metadata, instance_mode=ColorMode.IMAGE)
        drawn = output / f"{path.stem}.png"
        canvas.draw_instance_predictions(instances).save(str(drawn))
        yield Drawn(drawn, len(instances), best_score)


def _metadata(cfg: CfgNode) -> Metadata:
    """Of the first data set that names the classes; without one, classes have numbers."""
    for name in (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN):
        metadata = MetadataCatalog.get(name)
        if not metadata.get("thing_classes") and name in DatasetCatalog:
            try:
                DatasetCatalog.get(name)
            except (FileNotFoundError, ValueError) as error:
                logger.warning("No class names from data set %r: %s", name, error)
        if metadata.get("thing_classes"):
            return metadata
    return Metadata()
