"""Settings of a row as a config."""

from __future__ import annotations

from collections.abc import Mapping

from detectron2.config import CfgNode

__all__ = ["EPOCHS", "with_settings"]

EPOCHS = "EPOCHS"
# Where the learning rate falls, and how long it rises, as shares of a training.
_STEPS, _WARMUP = (0.7, 0.9), 0.05


def with_settings(cfg: CfgNode, settings: Mapping, num_pictures: int) -> CfgNode:
    """``cfg`` with other values.

    Args:
        cfg: the config.
        settings: keys and values; "EPOCHS" sets the schedule: the rate falls tenfold after 70 %
            and 90 % of the steps, and rises during the first 5 %.
        num_pictures: of the training set, which an epoch passes once.

    Raises:
        ValueError: naming a key that does not exist or a value of another type.
    """
    cfg = cfg.clone()
    cfg.defrost()
    for key, value in settings.items():
        if key == EPOCHS:
            _set_epochs(cfg, value, num_pictures)
        else:
            _set(cfg, key, value)
    cfg.freeze()
    return cfg


def _set_epochs(cfg: CfgNode, epochs: float, num_pictures: int) -> None:
    steps = max(1, round(epochs * num_pictures / cfg.SOLVER.IMS_PER_BATCH))
    cfg.SOLVER.MAX_ITER = steps
    # Of a few steps, shares may round to the same one, or to the end.
    milestones = {round(share * steps) for share in _STEPS} - {steps}
    cfg.SOLVER.STEPS = tuple(sorted(milestones))
    cfg.SOLVER.WARMUP_ITERS = round(_WARMUP * steps)


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
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(old, tuple) and isinstance(value, list):
        value = tuple(value)
    if type(old) is not type(value):
        raise ValueError(
            f"Expected {key} to be of type {type(old).__name__}, like {old!r}, but got {value!r}"
        )
    parent[name] = value
