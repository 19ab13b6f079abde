"""The plots of a report on output folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from lt_det.pages.plot_style import CONTROL_COLOR, Plot, figure_of, look, shorten
from lt_det.pages.text import METHOD_METRICS, TASK_NAMES
from lt_det.reports.runs.class_plots import draw_by_frequency, draw_gradient_ratio
from lt_det.reports.runs.methods import Intervals, Method
from lt_det.reports.runs.score_plots import draw_errors, draw_reliability, draw_scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_differences", "draw_groups", "run_plots"]

_FREQUENCY = (
    "Dots are classes, thick bars the means of their groups, the line means of classes of similar "
    "frequency."
)
_FIRST = "Of the first run of each method."


def run_plots(
    methods: Sequence[Method], task: str, intervals: Intervals | None
) -> tuple[list[Plot], list[tuple[str, list[str]]]]:
    """List the plots for which there is data; each shows the methods that have it.

    Returns:
        The plots, and what data some methods lack: what it is, and their names.
    """
    name = TASK_NAMES.get(task, task)
    plots = [_groups_plot(methods, task, intervals)]
    if intervals and intervals.differences:
        plots.append(Plot(
            "report_differences", f"Differences to {methods[0].name}, {name} AP",
            "On the same pictures, with 95% bootstrap intervals.",
            partial(draw_differences, intervals),
        ))  # fmt: skip
    missing = []
    for what, has, plot in _OPTIONAL:
        shown = [method for method in methods if has(method, task)]
        if shown:
            plots.append(plot(shown, task))
        lack = [method.name for method in methods if method not in shown]
        if lack:
            missing.append((what, lack))
    return plots, missing


def draw_groups(methods: Sequence[Method], task: str, intervals: Intervals | None) -> Figure:
    """Draw AP, APr, APc and APf of every method as bars."""
    figure = figure_of(max(5.0, 1.2 + 0.45 * len(METHOD_METRICS) * len(methods)), 3.2)
    axes = figure.add_subplot()
    width = 0.8 / len(methods)
    for place, method in enumerate(methods):
        x = np.arange(len(METHOD_METRICS)) + (place - (len(methods) - 1) / 2) * width
        values = [np.mean(method.values(task, metric)) for metric in METHOD_METRICS]
        bars = {"color": look(place)["color"], "label": shorten(method.name, 40)}
        axes.bar(x, values, 0.92 * width, **bars)
        if intervals:
            of = [intervals.own[method.name][metric] for metric in METHOD_METRICS]
            middle, low, high = ([i[key] for i in of] for key in ("mean", "lo", "hi"))
            axes.vlines(x, low, high, color="#404040", linewidth=1.2)
            axes.plot(x, middle, "_", color="#404040", markersize=4)
    axes.set_xticks(range(len(METHOD_METRICS)), METHOD_METRICS)
    axes.grid(visible=False, axis="x")
    axes.set_ylabel(f"{TASK_NAMES.get(task, task)} AP")
    axes.set_ylim(bottom=0)
    if len(methods) > 1:
        figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def draw_differences(intervals: Intervals) -> Figure:
    """Draw each method's differences to the first, a row a method and metric."""
    figure = figure_of(7.0, 0.7 + 0.95 * len(intervals.differences))
    axes, labels = figure.add_subplot(), []
    axes.axvline(0.0, color=CONTROL_COLOR, linewidth=1.0)
    for place, (name, of) in enumerate(intervals.differences.items()):
        for row, metric in enumerate(METHOD_METRICS):
            y = place * (len(METHOD_METRICS) + 1) + row
            color = look(place + 1)["color"]
            axes.plot((of[metric]["lo"], of[metric]["hi"]), (y, y), color=color, linewidth=1.6)
            axes.plot(of[metric]["mean"], y, "o", color=color, markersize=4)
            labels.append((y, f"{shorten(name, 34)}  {metric}" if row == 0 else metric))
    axes.set_yticks(*zip(*labels, strict=True), fontsize=8)
    axes.set_ylim(y + 0.7, -0.7)
    axes.set_xlabel("difference in AP")
    return figure


def _groups_plot(methods: Sequence[Method], task: str, intervals: Intervals | None) -> Plot:
    lines = "lines are 95% bootstrap intervals over pictures" if intervals else "no intervals"
    name = TASK_NAMES.get(task, task).capitalize()
    draw = partial(draw_groups, methods, task, intervals)
    return Plot("report_groups", f"{name} AP by group", f"Mean over seeds; {lines}.", draw)


def _ap_plot(methods: Sequence[Method], task: str) -> Plot:
    label = f"{TASK_NAMES.get(task, task)} AP"
    title = f"{label[0].upper()}{label[1:]} by training images of the class"
    return _frequency_plot("classes", title, methods, f"{task}_AP", label)


def _norms_plot(methods: Sequence[Method], task: str) -> Plot:
    title = "Norms of the classifier's weights"
    return _frequency_plot("weight_norms", title, methods, "weight_norms", "norm", log=True)


def _rates_plot(methods: Sequence[Method], task: str) -> Plot:
    title = "Learned rates of the classes, 0.5 at the start"
    return _frequency_plot("class_rates", title, methods, "class_rates", "rate", neutral=0.5)


def _frequency_plot(
    name: str, title: str, methods: Sequence[Method], values: str, label: str, **options: Any
) -> Plot:
    unseen = int(np.sum(methods[0].mean("train_image_count") == 0))
    without = f" {unseen} classes without a training image are not drawn." if unseen else ""
    drawn = [method.mean(values) for method in methods]
    draw = partial(draw_by_frequency, methods, drawn, label, **options)
    return Plot(f"report_{name}", title, _FREQUENCY + without, draw)


def _gradients_plot(methods: Sequence[Method], task: str) -> Plot:
    return Plot(
        "report_gradient_ratio", "Positive to negative gradients over the training",
        "Of each class's logit, summed since the start: median and quartiles of each group. "
        f"1 is balance; a class far below is pushed down. {_FIRST}",
        partial(draw_gradient_ratio, methods),
    )  # fmt: skip


def _scores_plot(methods: Sequence[Method], task: str) -> Plot:
    return Plot(
        "report_scores", f"Scores of {TASK_NAMES.get(task, task)} detections, by group",
        f"Line: true positives at IoU 0.5; area: false ones. {_FIRST}",
        partial(draw_scores, methods, task),
    )  # fmt: skip


def _reliability_plot(methods: Sequence[Method], task: str) -> Plot:
    return Plot(
        "report_reliability", "Precision against confidence, by group",
        f"On the dashed line scores are probabilities; below it they are too high. {_FIRST}",
        partial(draw_reliability, methods, task),
    )  # fmt: skip


def _errors_plot(methods: Sequence[Method], task: str) -> Plot:
    return Plot(
        "report_errors", "What kinds of errors cost",
        "AP50 that would be gained without each kind: wrong class, wrong place, both, duplicates, "
        f"background, missed objects. {_FIRST}",
        partial(draw_errors, methods, task),
    )  # fmt: skip


def _by_frequency(method: Method, values: str) -> bool:
    """Whether every run has these values and the counts to draw them against."""
    return all(method.mean(name) is not None for name in (values, "train_image_count"))


def _diagnosed(method: Method, task: str, key: str) -> bool:
    return bool(method.first.diagnostics.get(task, {}).get(key))


# What a plot needs, whether a method has it for a task, and the plot.
_OPTIONAL: tuple[tuple[str, Callable[[Method, str], bool], Callable[..., Plot]], ...] = (
    (
        "AP and training images of each class (per_class.csv)",
        lambda method, task: _by_frequency(method, f"{task}_AP"),
        _ap_plot,
    ),
    (
        "norms of one linear classifier (model_final.pth)",
        lambda method, task: _by_frequency(method, "weight_norms"),
        _norms_plot,
    ),
    (
        "gradients (gradient_ratio.csv, by SOLVER.GRADIENT_RATIO.PERIOD)",
        lambda method, task: method.first.gradient_sums is not None,
        _gradients_plot,
    ),
    (
        "learned rates (class_rates.json, by SOLVER.META)",
        lambda method, task: _by_frequency(method, "class_rates"),
        _rates_plot,
    ),
    (
        "scores (matches_*.npz beside per_class.csv)",
        lambda method, task: bool(method.first.rows and method.first.matches(task)),
        _scores_plot,
    ),
    (
        "calibration (diagnostics.json)",
        lambda method, task: _diagnosed(method, task, "calibration"),
        _reliability_plot,
    ),
    (
        "kinds of errors (diagnostics.json)",
        lambda method, task: _diagnosed(method, task, "error_shares"),
        _errors_plot,
    ),
)
