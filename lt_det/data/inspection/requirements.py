"""What a config asks of a data set."""

from __future__ import annotations

from dataclasses import dataclass

import yaml
from detectron2.config import CfgNode

from lt_det.class_stats import LVIS_THRESHOLDS

__all__ = ["Needs", "group_thresholds", "merge_config_file", "needs_of_config"]


@dataclass(frozen=True)
class Needs:
    """What a data set is for; the defaults ask of it what every use does.

    Attributes:
        num_classes: ``MODEL.ROI_HEADS.NUM_CLASSES``, if it is known.
        masks: ``MODEL.MASK_ON``, if it is known.
        polygons: whether its masks are to be read under ``INPUT.MASK_FORMAT`` polygon.
        is_training: whether it is trained on; False if it is only tested on, None if unknown.
    """

    num_classes: int | None = None
    masks: bool | None = None
    polygons: bool = False
    is_training: bool | None = None


def needs_of_config(cfg: CfgNode, name: str) -> Needs:
    """What a config asks of the data set of a name; of a set it does not name, what it can."""
    is_training = name in cfg.DATASETS.TRAIN or (None if name not in cfg.DATASETS.TEST else False)
    return Needs(
        num_classes=cfg.MODEL.ROI_HEADS.NUM_CLASSES,
        masks=cfg.MODEL.MASK_ON,
        # Masks of a test set are read by the official APIs, in any format.
        polygons=cfg.MODEL.MASK_ON
        and cfg.INPUT.MASK_FORMAT == "polygon"
        and is_training is not False,
        is_training=is_training,
    )


def group_thresholds(cfg: CfgNode, name: str) -> tuple[int, int] | None:
    """The image counts that group a set's classes; None where a file's ``frequency`` may.

    That is as in evaluation: LVIS's groups stay those of its files, unless the config has other
    thresholds than LVIS.
    """
    thresholds = tuple(cfg.DATASETS.GROUP_THRESHOLDS)
    return thresholds if name in cfg.DATASETS.TRAIN or thresholds != LVIS_THRESHOLDS else None


def merge_config_file(cfg: CfgNode, path: str) -> None:
    """``cfg.merge_from_file(path)``.

    Raises:
        ValueError: in words, for whatever is wrong with the file.
    """
    try:
        cfg.merge_from_file(path)
    except yaml.YAMLError as error:
        raise ValueError(f"The config {path} is not valid YAML: {_in_a_line(error)}") from error
    except (AssertionError, AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        # A KeyError puts its message in quotes.
        message = _in_a_line(error.args[0] if isinstance(error, KeyError) else error)
        raise ValueError(f"Cannot read the config {path}: {message}") from error


def _in_a_line(message: object) -> str:
    return " ".join(str(message).split())
