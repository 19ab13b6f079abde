"""The plots of a comparison: groups against each other, classes, weight norms, selection."""

from __future__ import annotations

from functools import partial

import numpy as np

from lt_det.pages.class_axes import MAX_DOTS
from lt_det.pages.plot_style import Plot
from lt_det.pages.text import TASK_NAMES
from lt_det.reports.comparison.class_plots import draw_class_ap, draw_weight_norms
from lt_det.reports.comparison.content import (
    Comparison,
    class_counts,
    finished_rows,
    main_task,
    weight_norms,
)
from lt_det.reports.comparison.groups_plot import draw_groups, group_points
from lt_det.reports.comparison.selection_plot import draw_selection

__all__ = ["Plot", "comparison_plots"]


def comparison_plots(data: Comparison) -> list[Plot]:
    """List the plots for which there is data."""
    task = TASK_NAMES.get(main_task(data), main_task(data))
    unseen = int(np.sum(class_counts(data) == 0))
    note = f" {unseen} classes without a training image are not drawn." if unseen else ""
    dots = "; dots are classes" if len(data["classes"]) <= MAX_DOTS else ""
    plots = []
    if len(group_points(data)) > 1:
        plots.append(Plot(
            "compare_groups", f"Rare against frequent classes, {task} AP",
            "Mean over seeds; bars are one standard deviation. The star is stage 1, hollow markers "
            "with bold names are controls.", partial(draw_groups, data),
        ))  # fmt: skip
    if finished_rows(data):
        plots.append(Plot(
            "compare_classes", f"{task.capitalize()} AP by training images of the class",
            "Each method in colour, what it is compared with in grey. Lines are means over classes "
            f"of similar frequency{dots}.{note}", partial(draw_class_ap, data),
        ))  # fmt: skip
    if any(weight_norms(row) is not None for row in finished_rows(data)):
        plots.append(Plot(
            "compare_weight_norms", "Norms of the classifier's weights",
            "Classes by falling number of training images; grey is stage 1.",
            partial(draw_weight_norms, data),
        ))  # fmt: skip
    if any(row["selection"] and row["selection"]["trials"] for row in data["rows"]):
        plots.append(Plot(
            "compare_selection", "Choice of hyper-parameters",
            f"AP on {data['dev'] or 'the set to choose on'}; the ring is what was chosen. "
            "Each panel has its own scale.", partial(draw_selection, data),
        ))  # fmt: skip
    return plots
