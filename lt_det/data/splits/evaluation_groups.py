"""The groups by which the evaluation of a data set will report its AP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from lt_det.class_stats import LVIS_THRESHOLDS
from lt_det.data.splits.splits import Split

__all__ = ["EvaluationGroups", "groups_of_evaluation"]


@dataclass(frozen=True)
class EvaluationGroups:
    """Groups of a data set's classes, and where they come from.

    Attributes:
        groups: group of each class [K]: 0 rare, 1 common, 2 frequent.
        source: the training set whose image counts they follow; "" for a file's ``frequency``.
        thresholds: image counts that end the rare and the common group; None for ``frequency``.
    """

    groups: np.ndarray
    source: str
    thresholds: tuple[int, int] | None


def groups_of_evaluation(
    name: str,
    content: Mapping | None,
    thresholds: tuple[int, int] | None,
    training: Split | None,
) -> EvaluationGroups | None:
    """Choose groups as :meth:`lt_det.engine.trainer.LTTrainer.build_evaluator` does.

    Args:
        name: the data set.
        content: of its annotation file; None for a set of another format.
        thresholds: image counts; None leaves an LVIS-format file its ``frequency``, and is LVIS's
            thresholds for others.
        training: the training set, if it is known.

    Returns:
        The groups; None if the file has none and the training set is unknown or has other classes.
    """
    known = name in DatasetCatalog.list() and MetadataCatalog.get(name).get("evaluator_type")
    if thresholds is None and content is not None and (known == "lvis" or training is None):
        groups = _groups_of_file(content)
        if groups is not None:
            return EvaluationGroups(groups, "", None)
    if training is None or training.stats is None:
        return None
    if content is not None and len(content["categories"]) != len(training.class_names):
        return None
    thresholds = thresholds or LVIS_THRESHOLDS
    return EvaluationGroups(training.stats.groups(thresholds), training.name, thresholds)


def _groups_of_file(content: Mapping) -> np.ndarray | None:
    """Groups by ``frequency``, which LVIS counts in the training set; None where one is missing."""
    categories = sorted(content["categories"], key=lambda category: category["id"])
    letters = [category.get("frequency") for category in categories]
    known = all(letter in ("r", "c", "f") for letter in letters)
    return np.array(["rcf".index(letter) for letter in letters]) if known else None
