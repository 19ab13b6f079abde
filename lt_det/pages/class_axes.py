"""Axes over classes: by training images on a log scale, with the borders of the groups."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from lt_det.class_stats import GROUP_NAMES
from lt_det.pages.plot_style import CONTROL_COLOR

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MAX_DOTS", "bin_means", "draw_classes", "mark_groups"]

# A dot per class of more classes than these is a cloud.
MAX_DOTS = 150
_NUM_BINS = 10


def draw_classes(
    axes: Axes,
    counts: np.ndarray,
    values: np.ndarray,
    color: str,
    dot_colors: Sequence[str] | None = None,
) -> None:
    """Draw a dot for each class, unless they are many, and the means of neighbours as a line.

    Args:
        axes: with a logarithmic x.
        counts: training images (K,); classes without any are not drawn.
        values: (K,), NaN where there is none.
        color: of dots and line.
        dot_colors: of each class's dot (K,), which is drawn then however many they are.
    """
    shown = (counts > 0) & ~np.isnan(values)
    if dot_colors is not None or len(counts) <= MAX_DOTS:
        colors = color if dot_colors is None else np.array(dot_colors)[shown]
        dots = {"s": 7, "alpha": 0.45, "lw": 0, "rasterized": True}
        axes.scatter(counts[shown], values[shown], color=colors, **dots)
    means = bin_means(counts[shown], values[shown])
    axes.plot(*means, color=color, linewidth=1.8, marker="o", ms=2.5)


def bin_means(x: np.ndarray, y: np.ndarray, num_bins: int = _NUM_BINS) -> tuple[np.ndarray, ...]:
    """Average over bins of ``x`` that are equally wide on a log scale.

    Args:
        x: positive values (n,).
        y: values (n,) without NaN.
        num_bins: bins between the smallest and the largest x.

    Returns:
        Geometric mean of x, mean of y, both of the bins that hold a value, by rising x.
    """
    if not len(x):
        return np.empty(0), np.empty(0)
    logs = np.log(x)
    edges = np.linspace(logs.min(), logs.max(), num_bins + 1)
    place = np.clip(np.searchsorted(edges, logs, side="right") - 1, 0, num_bins - 1)
    used = np.unique(place)
    means = np.array([[v[place == b].mean() for b in used] for v in (logs, y)])
    return np.exp(means[0]), means[1]


def mark_groups(axes: Axes, counts: np.ndarray, groups: Sequence[str]) -> None:
    """Draw where one group ends and the next begins, if counts tell them apart.

    Args:
        axes: with a logarithmic x.
        counts: training images (K,).
        groups: name of each class's group (K,).
    """
    groups = np.array(groups)
    members = [counts[(groups == name) & (counts > 0)] for name in GROUP_NAMES]
    for few, many in pairwise(members):
        if len(few) and len(many) and few.max() < many.min():
            edge = np.sqrt(few.max() * many.min())
            axes.axvline(edge, color=CONTROL_COLOR, linewidth=0.7, linestyle=":")
