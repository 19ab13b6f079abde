"""What decides a training's pictures and model: kept in its checkpoints, compared on a resume."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from detectron2.config import CfgNode

from lt_det.data.stream import ResumableLoader

__all__ = ["fingerprint", "warn_of_differences"]

logger = logging.getLogger(__name__)

# Not among them: MAX_ITER, workers and processes, which may change; SEED, which a resume keeps.
KEYS = (
    "DATASETS.TRAIN",
    "DATASETS.HOLDOUT",
    "DATALOADER.SAMPLER_TRAIN",
    "DATALOADER.REPEAT_THRESHOLD",
    "DATALOADER.REPEAT_SQRT",
    "DATALOADER.REPEAT_FREQUENCY",
    "DATALOADER.REPEAT_CAP",
    "DATALOADER.ASPECT_RATIO_GROUPING",
    "INPUT.MIN_SIZE_TRAIN",
    "INPUT.MAX_SIZE_TRAIN",
    "SOLVER.IMS_PER_BATCH",
    "SOLVER.TRAINABLE_PARAMS",
    "SOLVER.META.NAME",
    "SOLVER.META.IMS_PER_BATCH",
    "MODEL.ROI_HEADS.NAME",
    "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME",
    "MODEL.ROI_BOX_HEAD.CLASSIFIER.NAME",
    "MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION.NAME",
)
NUM_PICTURES = "number of training pictures"


def fingerprint(cfg: CfgNode, data_loader) -> dict[str, str]:
    """Values of :data:`KEYS` and the number of training pictures, as text.

    Args:
        cfg: the config.
        data_loader: of the training; the pictures of a loader that is not ours are not counted.
    """
    values = {key: str(_value(cfg, key)) for key in KEYS}
    if isinstance(data_loader, ResumableLoader):
        values[NUM_PICTURES] = str(len(data_loader.dataset))
    return values


def warn_of_differences(kept: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Log one warning that lists what differs; a value that either side lacks is passed over."""
    changed = [
        f"{key} was {kept[key]}, is {now[key]}"
        for key in now
        if key in kept and kept[key] != now[key]
    ]
    if changed:
        logger.warning(
            "This is not how the training in OUTPUT_DIR began: %s. The resumed training will "
            "differ from an uninterrupted one",
            "; ".join(changed),
        )


def _value(cfg: CfgNode, key: str):
    for name in key.split("."):
        cfg = cfg[name]
    # A config file gives lists where the defaults are tuples.
    return tuple(cfg) if isinstance(cfg, list) else cfg
