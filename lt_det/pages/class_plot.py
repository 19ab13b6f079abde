"""The class distribution of a data set as a plot, and the colours of its groups."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lt_det.class_stats import GROUP_NAMES, LVIS_THRESHOLDS, ClassStats

__all__ = ["GROUP_COLORS", "plot_class_distribution"]

# Of the group of a class wherever it is drawn.
GROUP_COLORS = {"rare": "#d62728", "common": "#ff7f0e", "frequent": "#1f77b4"}

# More names than this cannot be read.
_MOST_NAMES = 60


def plot_class_distribution(
    stats: ClassStats,
    path: str | Path,
    thresholds: tuple[int, int] = LVIS_THRESHOLDS,
    title: str = "",
    groups: np.ndarray | None = None,
    class_names: Sequence[str] = (),
) -> None:
    """Draw image and instance counts of the classes, sorted by image count, on a log scale.

    Args:
        stats: the counts.
        path: where to write the picture; its folder is created.
        thresholds: image counts that end the rare and the common group, drawn as lines.
        title: above the plot.
        groups: group of each class (K,), if not by the thresholds, which are not drawn then.
        class_names: K names, written below the classes if there are at most 60.
    """
    # Without pyplot, which may want a display.
    from matplotlib.figure import Figure  # lazy: draws

    order = np.argsort(-stats.image_count, kind="stable")
    by_thresholds = groups is None
    groups = (stats.groups(thresholds) if by_thresholds else groups)[order]
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot()
    ranks = np.arange(1, stats.num_classes + 1)
    axes.scatter(ranks, _positive(stats.instance_count[order]), s=6, color="0.7", label="instances")
    for group, name in enumerate(GROUP_NAMES):
        of_group = (groups == group) & (stats.image_count[order] > 0)
        axes.scatter(
            ranks[of_group],
            stats.image_count[order][of_group],
            s=10,
            color=GROUP_COLORS[name],
            label=f"images, {name} ({of_group.sum()} classes)",
        )
    for threshold in thresholds if by_thresholds else ():
        axes.axhline(threshold, color="0.4", linewidth=0.8, linestyle="--")
        axes.annotate(
            f"{threshold} images", (1, threshold), xycoords=("axes fraction", "data"),
            xytext=(-4, 3), textcoords="offset points", ha="right", fontsize=8,
        )  # fmt: skip
    num_unseen = int((stats.image_count == 0).sum())
    unseen = f", {num_unseen} without an instance are not drawn" if num_unseen else ""
    axes.set(
        yscale="log",
        xlabel=f"rank of the class by image count (K = {stats.num_classes}{unseen})",
        ylabel="count",
        title=title,
    )
    if 0 < len(class_names) <= _MOST_NAMES:
        _write_names(axes, [class_names[c] for c in order])
    figure.legend(fontsize=8, loc="outside upper right", ncols=4)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _write_names(axes, names: Sequence[str]) -> None:
    """Name the classes on the x axis, in the order of their ranks."""
    # A dollar sign would begin a formula.
    names = [name.replace("$", r"\$") for name in names]
    size = 8 if len(names) <= _MOST_NAMES // 2 else 6
    axes.set_xticks(range(1, len(names) + 1), names, rotation=90, fontsize=size)


def _positive(count: np.ndarray) -> np.ndarray:
    """Zero becomes NaN, which a log scale leaves out."""
    return np.where(count > 0, count, np.nan)
