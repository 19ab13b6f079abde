"""LVIS metrics by class-frequency group, from the arrays of an accumulated evaluation.

Pure NumPy: neither Detectron2 nor the LVIS API is imported. Axes are those of the LVIS API:
``precision[T, R, K, A]`` and ``recall[T, K, A]`` with IoU thresholds T, recall thresholds R,
classes K and area ranges A (all, small, medium, large), as fractions, -1 = no ground truth.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lt_det.class_stats import GROUP_NAMES

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_THRESHOLDS = np.linspace(0.0, 1.0, 101)

METRIC_NAMES = (
    *("AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf"),
    *("AR", "ARs", "ARm", "ARl", "ARr", "ARc", "ARf"),
)

_AREA_SUFFIXES = ("", "s", "m", "l")
_GROUP_SUFFIXES = ("r", "c", "f")


class Evaluation(NamedTuple):
    """Arrays of an accumulated evaluation, as the functions here take them."""

    precision: np.ndarray
    recall: np.ndarray
    iou_thresholds: np.ndarray


def summarize(
    precision: np.ndarray,
    recall: np.ndarray,
    groups: np.ndarray,
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
    others: Mapping[str, np.ndarray] | None = None,
) -> dict[str, float]:
    """Compute every metric of `METRIC_NAMES`, and AP and AR of other groups.

    The means run over the same values in the same order as the LVIS API's, so that the shared
    metrics are equal to it bit for bit.

    Args:
        precision: interpolated precision [T, R, K, A], -1 where a class has no ground truth.
        recall: final recall [T, K, A], -1 where a class has no ground truth.
        groups: group index of each class [K]: 0 rare, 1 common, 2 frequent, -1 none.
        iou_thresholds: IoU thresholds [T]; must hold 0.5 and 0.75.
        others: name -> whether each class is in the group [K]; gives ``AP_<name>``, ``AR_<name>``.

    Returns:
        Metric name -> percent. A metric is NaN, not -1, when no class with ground truth enters
        it, for instance APr of a set without rare classes.

    Raises:
        ValueError: if the shapes of the arguments contradict each other.
    """
    groups = _check_shapes(precision, recall, groups, iou_thresholds)
    metrics = {"AP": _mean_percent(precision[:, :, :, 0])}
    for name, threshold in (("AP50", 0.5), ("AP75", 0.75)):
        t = _threshold_index(iou_thresholds, threshold)
        metrics[name] = _mean_percent(precision[t, :, :, 0])
    members = [np.flatnonzero(groups == g) for g in range(len(GROUP_NAMES))]
    for a, suffix in enumerate(_AREA_SUFFIXES):
        metrics[f"AP{suffix}"] = _mean_percent(precision[:, :, :, a])
        metrics[f"AR{suffix}"] = _mean_percent(recall[:, :, a])
    for index, suffix in zip(members, _GROUP_SUFFIXES, strict=True):
        metrics[f"AP{suffix}"] = _mean_percent(precision[:, :, index, 0])
        metrics[f"AR{suffix}"] = _mean_percent(recall[:, index, 0])
    metrics = {name: metrics[name] for name in METRIC_NAMES}
    for name, chosen in (others or {}).items():
        metrics[f"AP_{name}"] = _mean_percent(precision[:, :, chosen, 0])
        metrics[f"AR_{name}"] = _mean_percent(recall[:, chosen, 0])
    return metrics


def per_class(
    precision: np.ndarray,
    recall: np.ndarray,
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
) -> dict[str, np.ndarray]:
    """Compute AP, AP50 and AR of each class over all areas.

    Args:
        precision: see `summarize`.
        recall: see `summarize`.
        iou_thresholds: see `summarize`.

    Returns:
        ``"AP"``, ``"AP50"``, ``"AR"`` -> percent [K], NaN for classes without ground truth.
    """
    _check_shapes(precision, recall, np.zeros(precision.shape[2], dtype=int), iou_thresholds)
    t = _threshold_index(iou_thresholds, 0.5)
    values = {
        "AP": precision[:, :, :, 0].mean(axis=(0, 1)),
        "AP50": precision[t, :, :, 0].mean(axis=0),
        "AR": recall[:, :, 0].mean(axis=0),
    }
    absent = recall[0, :, 0] < 0
    return {name: np.where(absent, np.nan, 100 * value) for name, value in values.items()}


def group_means(values: np.ndarray, groups: np.ndarray) -> dict[str, np.ndarray]:
    """Average a per-class quantity over all classes and over each group.

    Args:
        values: one value per class [..., K], NaN for classes to leave out.
        groups: group index of each class [K].

    Returns:
        ``"AP"``, ``"APr"``, ``"APc"``, ``"APf"`` -> mean [...], NaN where nothing is left.
    """
    groups = np.asarray(groups)
    selections = {"AP": np.ones(len(groups), dtype=bool)}
    for g, suffix in enumerate(_GROUP_SUFFIXES):
        selections[f"AP{suffix}"] = groups == g
    means = {}
    for name, selected in selections.items():
        chosen = values[..., selected]
        count = np.sum(~np.isnan(chosen), axis=-1)
        total = np.nansum(chosen, axis=-1)
        means[name] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return means


def mean_present(values: np.ndarray) -> float:
    """Mean of the values that are not NaN, NaN if there is none."""
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")


def _mean_percent(values: np.ndarray) -> float:
    """Mean of the present values (> -1) in percent, NaN if there is none."""
    present = values[values > -1]
    return float(np.mean(present) * 100) if present.size else float("nan")


def _threshold_index(iou_thresholds: Sequence[float], threshold: float) -> int:
    index = np.flatnonzero(np.isclose(iou_thresholds, threshold))
    if len(index) != 1:
        raise ValueError(
            f"iou_thresholds must hold {threshold} exactly once, got {list(iou_thresholds)}."
        )
    return int(index[0])


def _check_shapes(
    precision: np.ndarray,
    recall: np.ndarray,
    groups: np.ndarray,
    iou_thresholds: Sequence[float],
) -> np.ndarray:
    groups = np.asarray(groups)
    if precision.ndim != 4 or recall.shape != precision.shape[:1] + precision.shape[2:]:
        raise ValueError(
            "precision must be [T, R, K, A] and recall [T, K, A] of one evaluation, got "
            f"{precision.shape} and {recall.shape}."
        )
    if precision.shape[3] != len(_AREA_SUFFIXES):
        raise ValueError(
            "expected the 4 area ranges all, small, medium, large on the last axis, got "
            f"{precision.shape[3]}."
        )
    if groups.shape != (precision.shape[2],):
        raise ValueError(
            f"groups must hold one index per class [{precision.shape[2]}], got {groups.shape}."
        )
    if len(iou_thresholds) != precision.shape[0]:
        raise ValueError(
            f"{len(iou_thresholds)} iou_thresholds for {precision.shape[0]} rows of precision."
        )
    return groups
