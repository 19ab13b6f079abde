"""What output folders hold of each class, against its frequency: AP, weight norm, learned rate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lt_det.class_stats import GROUP_NAMES
from lt_det.pages.class_axes import draw_classes, mark_groups
from lt_det.pages.class_plot import GROUP_COLORS
from lt_det.pages.plot_style import CONTROL_COLOR, label_log, look, panels
from lt_det.reports.runs.methods import Method

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_by_frequency", "draw_gradient_ratio", "group_colors", "group_legend"]

# Of what is not of one group.
ALL_COLOR = "#404040"


def draw_by_frequency(
    methods: Sequence[Method],
    values: Sequence[np.ndarray],
    label: str,
    log: bool = False,
    neutral: float | None = None,
) -> Figure:
    """Draw a number of each class against its training images, a panel a method.

    Args:
        methods: with training counts.
        values: of each method (K,), NaN where there is none.
        label: of y.
        log: whether y is logarithmic.
        neutral: drawn as a line, where it has a meaning.
    """
    figure, grid = panels([m.name for m in methods], 2.4, sharex=True, sharey=True)
    for axes, method, of_classes in zip(grid, methods, values, strict=True):
        counts, groups = method.mean("train_image_count"), [r["group"] for r in method.first.rows]
        mark_groups(axes, counts, groups)
        if neutral is not None:
            axes.axhline(neutral, color=CONTROL_COLOR, linewidth=0.8, linestyle="--")
        colors = [GROUP_COLORS.get(group, CONTROL_COLOR) for group in groups]
        draw_classes(axes, counts, of_classes, ALL_COLOR, colors)
        _draw_group_means(axes, counts, groups, of_classes)
    grid[0].set_xscale("log")
    label_log(grid[0].xaxis, (1.0,))
    if log:
        grid[0].set_yscale("log")
        label_log(grid[0].yaxis, (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
    group_legend(figure, _colors_of_classes(methods))
    figure.supxlabel("training images of the class", fontsize=9)
    figure.supylabel(label, fontsize=9)
    return figure


def draw_gradient_ratio(methods: Sequence[Method]) -> Figure:
    """Draw the ratio since the start over the training: median and quartiles of each group."""
    figure, grid = panels([m.name for m in methods], 2.4, sharey=True)
    for axes, method in zip(grid, methods, strict=True):
        sums, groups = method.first.gradient_sums, method.first.groups
        ratio = np.nan_to_num(sums.ratio())
        for index, name in enumerate(GROUP_NAMES):
            if not (groups == index).any():
                continue
            quartiles = np.quantile(ratio[:, groups == index], (0.25, 0.5, 0.75), axis=1)
            # A class without a positive so far has 0, which a log scale leaves out.
            low, middle, high = np.where(quartiles > 0, quartiles, np.nan)
            color = GROUP_COLORS[name]
            axes.fill_between(sums.iteration, low, high, color=color, alpha=0.2, linewidth=0)
            axes.plot(sums.iteration, middle, color=color, label=name, marker="o", markersize=2)
        axes.axhline(1.0, color=CONTROL_COLOR, linewidth=0.8, linestyle="--")
    grid[0].set_yscale("log")
    label_log(grid[0].yaxis, (1.0,))
    group_legend(figure, _colors_of_classes(methods))
    figure.supxlabel("iteration", fontsize=9)
    figure.supylabel("positive / negative gradient", fontsize=9)
    return figure


def group_colors(names: Iterable[str]) -> dict[str, str]:
    """The colour of each group: its own, "all" dark, any other one of the methods'."""
    names = list(dict.fromkeys(names))
    others = [name for name in names if name not in (*GROUP_COLORS, "all")]
    own = GROUP_COLORS | {"all": ALL_COLOR}
    # The first two are close to those of frequent and rare classes.
    own |= {name: look(place + 2)["color"] for place, name in enumerate(others)}
    return {name: own[name] for name in names}


def group_legend(figure: Figure, colors: Mapping[str, str]) -> None:
    """Name the groups' colours, once a figure."""
    from matplotlib.lines import Line2D  # lazy: draws

    lines = [Line2D([], [], color=c, linewidth=2, label=name) for name, c in colors.items()]
    figure.legend(handles=lines, loc="outside upper left", ncols=4, fontsize=8, frameon=False)


def _colors_of_classes(methods: Sequence[Method]) -> dict[str, str]:
    found = {row["group"] for row in methods[0].first.rows}
    return {name: color for name, color in GROUP_COLORS.items() if name in found}


def _draw_group_means(
    axes: Axes, counts: np.ndarray, groups: Sequence[str], values: np.ndarray
) -> None:
    """A bar over the counts of each group at the mean of its values."""
    groups = np.array(groups)
    for name in GROUP_NAMES:
        shown = (groups == name) & (counts > 0) & ~np.isnan(values)
        if shown.any():
            ends, mean = (counts[shown].min(), counts[shown].max()), values[shown].mean()
            color = GROUP_COLORS[name]
            axes.plot(ends, (mean, mean), color=color, linewidth=3, solid_capstyle="round")
