"""APr against APf: one point per method, every label in one column at the right."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lt_det.pages.plot_style import figure_of, look, shorten, spread
from lt_det.pages.text import TASK_NAMES
from lt_det.reports.comparison.content import (
    Comparison,
    Row,
    finished_rows,
    is_control,
    main_task,
    seed_values,
    stage1_row,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_groups", "group_points"]

_AXES_HEIGHT = 4.4  # inches
_LABEL_GAP = 0.19


class GroupPoint(NamedTuple):
    """Where a method lies: mean and deviation over seeds of (APf, APr), and its looks."""

    name: str
    mean: np.ndarray
    deviation: np.ndarray
    style: dict
    is_control: bool


def group_points(data: Comparison) -> list[GroupPoint]:
    """Return stage 1 and the methods that have both metrics."""
    places = {row["name"]: place for place, row in enumerate(data["rows"])}
    points = [_point(data, stage1_row(data), {"color": "black", "marker": "*"})]
    points += [_point(data, row, look(places[row["name"]])) for row in finished_rows(data)]
    return [point for point in points if np.isfinite(point.mean).all()]


def draw_groups(data: Comparison) -> Figure:
    """Draw the points; the methods' colours and markers follow the order of the rows."""
    points = group_points(data)
    height = max(_AXES_HEIGHT, _LABEL_GAP * len(points))
    figure = figure_of(8.5, height + 0.6)
    axes = figure.add_subplot()
    for point in points:
        _draw_point(axes, point)
    axes.margins(0.06)
    task = TASK_NAMES.get(main_task(data), main_task(data))
    axes.set(xlabel=f"APf, {task} (frequent classes)", ylabel=f"APr, {task} (rare classes)")
    _label(axes, points, _LABEL_GAP / height)
    return figure


def _point(data: Comparison, row: Row, style: dict) -> GroupPoint:
    task = main_task(data)
    values = np.array([seed_values(row, task, metric) for metric in ("APf", "APr")])
    deviation = np.std(values, axis=1, ddof=1) if values.shape[1] > 1 else np.zeros(2)
    return GroupPoint(row["name"], values.mean(axis=1), deviation, style, is_control(data, row))


def _marker(point: GroupPoint) -> dict:
    color = point.style["color"]
    face = "none" if point.is_control else color
    size = 13 if point.style["marker"] == "*" else 8
    return {
        "color": color, "marker": point.style["marker"], "markersize": size,
        "markerfacecolor": face, "markeredgewidth": 1.8 if point.is_control else 1.0,
    }  # fmt: skip


def _draw_point(axes: Axes, point: GroupPoint) -> None:
    (x, y), (dx, dy) = point.mean, point.deviation
    axes.errorbar(x, y, xerr=dx, yerr=dy, elinewidth=1.0, capsize=0, zorder=3, **_marker(point))


def _label(axes: Axes, points: list[GroupPoint], gap: float) -> None:
    """Name the points in a column beside the axes, in their order of height."""
    limits = axes.get_ylim()
    heights = [(p.mean[1] - limits[0]) / (limits[1] - limits[0]) for p in points]
    for point, y in zip(points, spread(heights, gap, 0.0, 1.0), strict=True):
        marker = _marker(point) | {"markersize": 8}
        axes.plot([1.05], [y], transform=axes.transAxes, clip_on=False, **marker)
        axes.annotate(
            shorten(point.name, 40), point.mean, xytext=(1.075, y), textcoords="axes fraction",
            va="center", fontsize=9.5, fontweight="bold" if point.is_control else "normal",
        )  # fmt: skip
        axes.annotate(
            "", point.mean, xytext=(1.04, y), textcoords="axes fraction",
            arrowprops={"arrowstyle": "-", "lw": 0.7, "color": marker["color"], "alpha": 0.55},
        )  # fmt: skip
