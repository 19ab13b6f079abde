"""The evaluators of the test sets, which are built once before a training as a check."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from torch import nn

from lt_det.class_stats import LVIS_THRESHOLDS, ClassStats
from lt_det.data.statistics import class_stats_from_config
from lt_det.evaluation.evaluators import EVALUATORS
from lt_det.evaluation.metric_options import MetricOptions
from lt_det.modeling.find_predictors import box_predictors

__all__ = [
    "CLASS_STATS_FILE",
    "build_evaluator",
    "check_groups",
    "check_test_sets",
    "save_class_stats",
]

logger = logging.getLogger(__name__)

# In OUTPUT_DIR.
CLASS_STATS_FILE = "class_stats.json"


class TestSetBuilders(Protocol):
    """What builds loaders and evaluators: LTTrainer."""

    def build_test_loader(self, cfg: CfgNode, dataset_name: str) -> Any:
        """Build the loader of a test set."""

    def build_evaluator(self, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """Build the evaluator of a test set."""


def check_test_sets(
    cfg: CfgNode,
    names: Sequence[str],
    trainer: TestSetBuilders,
) -> None:
    """Build loader and evaluator of each test set: what they refuse is found before the work.

    Every process builds them, as for the evaluation, and finds the same faults. Nothing is kept:
    the ground truth would be in memory for the whole training.

    Args:
        cfg: the config of a training. The evaluators get its class statistics, which the model
            does not have yet, from a temporary ``OUTPUT_DIR``.
        names: registered data sets.
        trainer: LTTrainer, or a user's own, whose ``build_test_loader`` and ``build_evaluator``
            are called as its ``test`` does.

    Raises:
        FileNotFoundError: if a file is missing, naming the data set.
        ValueError: if a data set, or the config for it, is refused, naming the data set.
    """
    if not names:
        return
    with tempfile.TemporaryDirectory(prefix="lt_det_") as folder:
        _expected_stats(cfg).save(os.path.join(folder, CLASS_STATS_FILE))
        cfg = cfg.clone()
        cfg.defrost()
        cfg.OUTPUT_DIR = folder
        cfg.freeze()
        for name in names:
            logger.info("Checking the test set %s ...", name)
            try:
                # This comes first: it is what tells the classes of a set.
                trainer.build_test_loader(cfg, name)
                trainer.build_evaluator(cfg, name)
            except NotImplementedError:
                # Detectron2 passes over a set without an evaluator, and says so then.
                continue
            except FileNotFoundError as error:
                raise FileNotFoundError(_naming(name, error)) from error
            except (ValueError, OSError) as error:
                raise ValueError(_naming(name, error)) from error


def _naming(name: str, error: Exception) -> str:
    return f"The test set {name!r} cannot be evaluated: {error}"


def _expected_stats(cfg: CfgNode) -> ClassStats:
    """Statistics of the size that the model's will have."""
    stats = class_stats_from_config(cfg)
    if stats is not None:
        return stats
    # The checkpoint has them, which nobody has read yet; their size is what is checked.
    ones = np.ones(cfg.MODEL.ROI_HEADS.NUM_CLASSES, dtype=np.int64)
    return ClassStats(len(ones), 1, ones, ones)


def build_evaluator(cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
    """Build what ``LTTrainer.build_evaluator`` describes.

    Raises:
        ValueError: see there.
    """
    evaluator_type = MetadataCatalog.get(dataset_name).get("evaluator_type")
    if evaluator_type not in EVALUATORS:
        raise ValueError(
            f"Data set {dataset_name!r} has the evaluator type {evaluator_type!r}, but lt_det "
            f"evaluates {sorted(EVALUATORS)}: name it in DATASETS.REGISTER"
        )
    stats = _saved_stats(cfg)
    options = {"backend": cfg.TEST.LVIS_BACKEND} if evaluator_type == "lvis" else {}
    return EVALUATORS[evaluator_type](
        dataset_name,
        output_dir=os.path.join(cfg.OUTPUT_DIR, "inference", dataset_name),
        groups=_groups(cfg, evaluator_type, stats),
        class_stats=stats,
        groups_file=cfg.TEST.GROUPS_FILE or None,
        save_predictions=cfg.TEST.SAVE_PREDICTIONS,
        options=MetricOptions.from_config(cfg),
        **options,
    )


def check_groups(cfg: CfgNode) -> None:
    """See that the model has the class statistics that the groups need; they are saved by now.

    Raises:
        ValueError: if ``DATASETS.GROUP_THRESHOLDS`` are not LVIS's and it has none.
    """
    _groups(cfg, "coco", _saved_stats(cfg))


def save_class_stats(model: nn.Module, output_dir: str) -> None:
    """Write the model's statistics to ``class_stats.json``, for readers without a checkpoint."""
    if comm.is_main_process():
        stats = [predictor.cls_loss.class_stats.value() for predictor in box_predictors(model)]
        if stats and stats[0] is not None:
            stats[0].save(os.path.join(output_dir, CLASS_STATS_FILE))
    comm.synchronize()


def _saved_stats(cfg: CfgNode) -> ClassStats | None:
    path = os.path.join(cfg.OUTPUT_DIR, CLASS_STATS_FILE)
    return ClassStats.load(path) if os.path.isfile(path) else None


def _groups(cfg: CfgNode, evaluator_type: str, stats: ClassStats | None) -> np.ndarray | None:
    """Groups by the model's class statistics, or None where the annotation file decides."""
    other_thresholds = tuple(cfg.DATASETS.GROUP_THRESHOLDS) != LVIS_THRESHOLDS
    if evaluator_type == "lvis" and not other_thresholds:
        return None
    if stats is not None:
        return stats.groups(cfg.DATASETS.GROUP_THRESHOLDS)
    if other_thresholds:
        raise ValueError(
            "DATASETS.GROUP_THRESHOLDS needs class statistics, and the model has none: "
            "name a file in DATASETS.CLASS_STATS_FILE"
        )
    return None
