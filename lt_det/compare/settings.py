"""Settings of a row as a config."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from detectron2.config import CfgNode

__all__ = ["EPOCHS", "check_keys", "with_settings"]

EPOCHS = "EPOCHS"
# What banks are extracted with, or a run sets itself; and what of it is the classifier's alone.
_SHARED = (
    "MODEL",
    "INPUT",
    "FEATURE_BANK",
    "DATASETS",
    "SOLVER.AMP",
    "DATALOADER.FILTER_EMPTY_ANNOTATIONS",
    "OUTPUT_DIR",
    "SEED",
)
_OWN = (
    "MODEL.ROI_BOX_HEAD.CLASSIFIER",
    "MODEL.ROI_BOX_HEAD.CLS_LOSS",
    "MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION",
    "MODEL.ROI_HEADS.NMS_THRESH_TEST",
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST",
    "FEATURE_BANK.ROI_SAMPLER",
)
_FIRST = {"SOLVER.IMS_PER_BATCH": 0, EPOCHS: 1, "SOLVER.MAX_ITER": 2}
# Where the learning rate falls, and how long it rises, as shares of a training.
_STEPS, _WARMUP = (0.7, 0.9), 0.05


def with_settings(cfg: CfgNode, settings: Mapping, num_pictures: int) -> CfgNode:
    """``cfg`` with other values.

    Args:
        cfg: the config.
        settings: keys and values; "EPOCHS" sets the schedule: the rate falls tenfold after 70 %
            and 90 % of the steps, and rises during the first 5 %. What is set beside it, holds.
            A number of steps may be a share of the training, such as "80%".
        num_pictures: of the training set, which an epoch passes once.

    Raises:
        ValueError: naming a key that does not exist or a value of another type.
    """
    cfg = cfg.clone()
    cfg.defrost()
    # First what others follow from or replace parts of.
    for key in sorted(settings, key=lambda key: _FIRST.get(key, len(_FIRST))):
        if key == EPOCHS:
            _set_epochs(cfg, settings[key], num_pictures)
        else:
            _set(cfg, key, settings[key])
    cfg.freeze()
    return cfg


def check_keys(keys: Iterable[str]) -> None:
    """Check that a row may set these keys: on features that are there, others have no effect.

    Raises:
        ValueError: naming one that all rows share.
    """
    for key in keys:
        if _is_within(key, _SHARED) and not _is_within(key, _OWN):
            raise ValueError(f"{key} is the same for all rows: set it in the detector's config")


def _is_within(key: str, nodes: Iterable[str]) -> bool:
    return any(f"{key}.".startswith(f"{node}.") for node in nodes)


def _set_epochs(cfg: CfgNode, epochs: float, num_pictures: int) -> None:
    if isinstance(epochs, bool) or not isinstance(epochs, (int, float)) or not epochs > 0:
        raise ValueError(f"Expected {EPOCHS} to be a number above 0, but got {epochs!r}")
    steps = max(1, round(epochs * num_pictures / cfg.SOLVER.IMS_PER_BATCH))
    cfg.SOLVER.MAX_ITER = steps
    # Of a few steps, shares may round to the same one, or to the end.
    milestones = {round(share * steps) for share in _STEPS} - {steps}
    cfg.SOLVER.STEPS = tuple(sorted(milestones))
    cfg.SOLVER.WARMUP_ITERS = round(_WARMUP * steps)


def _in_steps(value, max_iter: int):
    """A share such as "80%" as steps of the training; any other value as it is."""
    share = re.fullmatch(r"(\d+(?:\.\d+)?)%", value) if isinstance(value, str) else None
    return round(float(share[1]) / 100 * max_iter) if share else value


def _set(cfg: CfgNode, key: str, value) -> None:
    node, _, name = key.rpartition(".")
    parent = cfg
    for part in node.split(".") if node else ():
        if not isinstance(parent, CfgNode) or part not in parent:
            raise ValueError(f"There is no config key {key!r}")
        parent = parent[part]
    if not isinstance(parent, CfgNode) or name not in parent:
        raise ValueError(f"There is no config key {key!r}")
    old = parent[name]
    if type(old) is int:
        value = _in_steps(value, cfg.SOLVER.MAX_ITER)
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(old, tuple) and isinstance(value, list):
        value = tuple(value)
    if type(old) is not type(value):
        raise ValueError(
            f"Expected {key} to be of type {type(old).__name__}, like {old!r}, but got {value!r}"
        )
    parent[name] = value
