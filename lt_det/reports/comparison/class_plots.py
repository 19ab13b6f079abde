"""Small panels over classes: AP by training images, weight norms by rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lt_det.pages.class_axes import draw_classes, mark_groups
from lt_det.pages.plot_style import CONTROL_COLOR, label_log, look, panels, subtitle
from lt_det.pages.text import TASK_NAMES
from lt_det.reports.comparison.content import (
    STAGE1_NAME,
    Comparison,
    class_ap,
    class_counts,
    finished_rows,
    main_task,
    reference,
    stage1_row,
    weight_norms,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_class_ap", "draw_weight_norms"]

_MAX_RANKS = 80


def draw_class_ap(data: Comparison) -> Figure:
    """Draw AP of each class for every method and what it is compared with."""
    rows, counts, task = finished_rows(data), class_counts(data), main_task(data)
    groups = [entry["group"] for entry in data["classes"]]
    places = {row["name"]: place for place, row in enumerate(data["rows"])}
    figure, grid = panels([row["name"] for row in rows], 2.0, sharex=True, sharey=True)
    for axes, row in zip(grid, rows, strict=True):
        other = reference(data, row)
        color = look(places[row["name"]])["color"]
        mark_groups(axes, counts, groups)
        draw_classes(axes, counts, class_ap(other, task), CONTROL_COLOR)
        draw_classes(axes, counts, class_ap(row, task), color)
        subtitle(axes, f"grey: {other['name']}")
    grid[0].set_xscale("log")
    label_log(grid[0].xaxis, (1.0,))
    figure.supxlabel("training images of the class", fontsize=9)
    figure.supylabel(f"{TASK_NAMES.get(task, task)} AP", fontsize=9)
    return figure


def draw_weight_norms(data: Comparison) -> Figure:
    """Draw the norms of each method's classifier, and of stage 1's."""
    rows = [row for row in finished_rows(data) if weight_norms(row) is not None]
    places = {row["name"]: place for place, row in enumerate(data["rows"])}
    order = np.argsort(-class_counts(data), kind="stable")
    before = weight_norms(stage1_row(data))
    # Log: a classifier that is the same up to its scale has the same curve.
    figure, grid = panels([row["name"] for row in rows], 1.9, sharex=True, sharey=True)
    for axes, row in zip(grid, rows, strict=True):
        if before is not None:
            _draw_ranked(axes, before[order], CONTROL_COLOR)
            subtitle(axes, f"grey: {STAGE1_NAME}")
        _draw_ranked(axes, weight_norms(row)[order], look(places[row["name"]])["color"])
    grid[0].set_yscale("log")
    label_log(grid[0].yaxis, (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
    figure.supxlabel("rank of the class by training images, most frequent first", fontsize=9)
    figure.supylabel("norm (log scale)", fontsize=9)
    return figure


def _draw_ranked(axes: Axes, norms: np.ndarray, color: str) -> None:
    """Draw the norms by rank, as means of neighbours where there are many."""
    blocks = np.array_split(np.arange(len(norms)), min(len(norms), _MAX_RANKS))
    ranks = [block.mean() + 1 for block in blocks]
    axes.plot(ranks, [norms[block].mean() for block in blocks], color=color, linewidth=1.4)
