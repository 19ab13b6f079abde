"""What output folders hold of detections: scores, calibration, kinds of errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lt_det.class_stats import GROUP_NAMES
from lt_det.evaluation.matching.matches import Matches
from lt_det.pages.plot_style import CONTROL_COLOR, panels, subtitle
from lt_det.reports.runs.class_plots import group_colors, group_legend
from lt_det.reports.runs.methods import Method

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_errors", "draw_reliability", "draw_scores", "score_counts"]

_SCORE_EDGES = np.linspace(0, 1, 21)
_TRUE_COLOR, _FALSE_COLOR = "#009E73", "#D55E00"


def score_counts(matches: Matches, groups: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Histogram scores of true and false positives at the lowest IoU threshold (0.5).

    Detections that the evaluation ignores are left out.

    Args:
        matches: the evaluation.
        groups: group index of each class [K].

    Returns:
        Group name -> true and false positives in twenty equal bins from 0 to 1, of the groups that
        have classes.
    """
    counted, matched = ~matches.ignored[0], matches.matched[0]
    of_detection = groups[matches.class_index]
    return {
        name: tuple(
            np.histogram(
                np.clip(matches.score[counted & (of_detection == index) & hit], 0, 1), _SCORE_EDGES
            )[0]
            for hit in (matched, ~matched)
        )
        for index, name in enumerate(GROUP_NAMES)
        if (groups == index).any()
    }


def draw_scores(methods: Sequence[Method], task: str) -> Figure:
    """Draw the scores of the first run of each method, a row a method and a column a group."""
    counts = [
        (method.name, group, hits)
        for method in methods
        for group, hits in score_counts(method.first.matches(task), method.first.groups).items()
    ]
    num_groups = len(counts) // len(methods)
    titles = [name if len(methods) > 1 else group for name, group, _ in counts]
    figure, grid = panels(titles, 1.9, columns=num_groups, sharex=True, sharey=True)
    for axes, (_, group, (true, false)) in zip(grid, counts, strict=True):
        axes.stairs(false, _SCORE_EDGES, color=_FALSE_COLOR, fill=True, alpha=0.35)
        axes.stairs(true, _SCORE_EDGES, color=_TRUE_COLOR, linewidth=1.6)
        subtitle(axes, f"{group}: {true.sum()} true, {false.sum()} false")
    most = max(of.max() for _, _, hits in counts for of in hits)
    grid[0].set_yscale("symlog", linthresh=1)
    grid[0].set_ylim(0, 2 * max(1, most))
    grid[0].set_yticks([0, *10 ** np.arange(1 + int(np.log10(max(1, most))))])
    grid[0].yaxis.set_major_formatter("{x:g}")
    figure.supxlabel("score", fontsize=9)
    figure.supylabel("detections", fontsize=9)
    return figure


def draw_reliability(methods: Sequence[Method], task: str) -> Figure:
    """Draw precision against confidence by group, a panel a method."""
    figure, grid = panels([m.name for m in methods], 2.4, sharex=True, sharey=True)
    colors = _colors(methods, task, "calibration")
    for axes, method in zip(grid, methods, strict=True):
        axes.plot((0, 1), (0, 1), color=CONTROL_COLOR, linewidth=0.8, linestyle="--")
        curves = method.first.diagnostics[task]["calibration"]
        for name in sorted(curves, key=list(colors).index):
            bins = [b for b in curves[name].get("bins", []) if b["count"]]
            place = [[b[key] for b in bins] for key in ("confidence", "precision")]
            axes.plot(*place, color=colors[name], marker="o", markersize=3)
    group_legend(figure, colors)
    figure.supxlabel("confidence", fontsize=9)
    figure.supylabel("precision", fontsize=9)
    return figure


def draw_errors(methods: Sequence[Method], task: str) -> Figure:
    """Draw what each kind of error costs, by group, a panel a method."""
    figure, grid = panels([m.name for m in methods], 2.4, sharex=True, sharey=True)
    colors = _colors(methods, task, "error_shares")
    width = 0.8 / len(colors)
    for axes, method in zip(grid, methods, strict=True):
        shares = method.first.diagnostics[task]["error_shares"]
        kinds = list(dict.fromkeys(kind for of_group in shares.values() for kind in of_group))
        for place, (name, color) in enumerate(colors.items()):
            heights = [shares.get(name, {}).get(kind) or 0.0 for kind in kinds]
            x = np.arange(len(kinds)) + (place - (len(colors) - 1) / 2) * width
            axes.bar(x, heights, width, color=color)
        axes.set_xticks(np.arange(len(kinds)), kinds, fontsize=7.5)
    group_legend(figure, colors)
    figure.supylabel("AP50 lost to it", fontsize=9)
    return figure


def _colors(methods: Sequence[Method], task: str, key: str) -> dict[str, str]:
    """The colours of the groups in a part of the diagnostics: rare, common, frequent, others."""
    found = [name for m in methods for name in m.first.diagnostics[task][key]]
    return group_colors([*(name for name in GROUP_NAMES if name in found), *found])
