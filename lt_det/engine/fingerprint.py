"""What decides a training's pictures and model: kept in its checkpoints, compared on a resume."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from detectron2.config import CfgNode

from lt_det.data.stream import ResumableLoader

__all__ = ["fingerprint", "log_kept_settings", "warn_of_differences"]

logger = logging.getLogger(__name__)

# Not among them: workers and processes, which may change; SEED, which a resume keeps.
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
    "SOLVER.LR_SCHEDULER_NAME",
    "SOLVER.STEPS",
    "SOLVER.GAMMA",
    "SOLVER.WARMUP_ITERS",
    "SOLVER.WARMUP_FACTOR",
    "SOLVER.WARMUP_METHOD",
    "SOLVER.AMP.ENABLED",
    "SOLVER.AMP.PRECISION",
)
# MAX_ITER decides the rates of this scheduler: under the others it may change.
_MAX_ITER, _SCHEDULED_BY_IT = "SOLVER.MAX_ITER", "WarmupCosineLR"
# The checkpoint's optimiser and scheduler hold them: a resume does not read the config's.
KEPT_KEYS = ("SOLVER.BASE_LR", "SOLVER.MOMENTUM", "SOLVER.WEIGHT_DECAY")
NUM_PICTURES = "number of training pictures"


def fingerprint(cfg: CfgNode, data_loader) -> dict[str, str]:
    """Return the settings that decide a training, and its number of images, as text.

    Args:
        cfg: the config.
        data_loader: of the training; the pictures of a loader that is not ours are not counted.
    """
    values = {key: str(_value(cfg, key)) for key in (*KEYS, *KEPT_KEYS)}
    if cfg.SOLVER.LR_SCHEDULER_NAME == _SCHEDULED_BY_IT:
        values[_MAX_ITER] = str(cfg.SOLVER.MAX_ITER)
    if isinstance(data_loader, ResumableLoader):
        values[NUM_PICTURES] = str(len(data_loader.dataset))
    return values


def warn_of_differences(
    at_start: Mapping[str, str], last: Mapping[str, str], now: Mapping[str, str]
) -> None:
    """Log one warning that lists every setting that was different in an earlier part.

    Args:
        at_start: :func:`fingerprint` of the training's first step, as far as it is known.
        last: of the part that wrote the checkpoint. A setting that it lacks is passed over.
        now: of the part that begins.
    """
    changes = [
        _change(key, at_start.get(key, last[key]), last[key], now[key])
        for key in now
        if key in last and key not in KEPT_KEYS
    ]
    if any(changes):
        logger.warning(
            "Resuming with other settings than in an earlier part of this training: %s. It will "
            "differ from an uninterrupted one",
            "; ".join(filter(None, changes)),
        )


def log_kept_settings(last: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Log a warning of the settings that a resume does not take from the config."""
    changes = [
        f"{key} stays {last[key]}, not {now[key]}"
        for key in KEPT_KEYS
        if key in last and last[key] != now[key]
    ]
    if changes:
        logger.warning("A resume goes on with the checkpoint's settings: %s", "; ".join(changes))


def _change(key: str, at_start: str, last: str, now: str) -> str:
    """A setting in the three parts, in words; empty if it is the same in all."""
    if last != now:
        text = f"{key} was {last}, is {now}"
        if at_start == now:
            return f"{text} again, as at the start"
        return text if at_start == last else f"{text} (at the start {at_start})"
    return f"{key} was {at_start} at the start, is {now}" if at_start != now else ""


def _value(cfg: CfgNode, key: str):
    for name in key.split("."):
        cfg = cfg[name]
    # A config file gives lists where the defaults are tuples.
    return tuple(cfg) if isinstance(cfg, list) else cfg
