"""A data set's summary as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from tabulate import tabulate

from lt_det.class_stats import GROUP_NAMES
from lt_det.data.inspection.summary import NUM_FILES_CHECKED, DatasetSummary

__all__ = ["format_summary"]

_NUM_EXTREMES = 10
_NUM_NAMES = 20


def format_summary(summary: DatasetSummary) -> str:
    """The summary as text: pictures, groups, empty classes, most and least frequent classes."""
    stats = summary.stats
    # Stable, so that equal counts stay in the order of class ids.
    by_count = np.argsort(-stats.image_count, kind="stable")
    seen = by_count[stats.image_count[by_count] > 0]
    blocks = ["\n".join(_picture_lines(summary)), _group_block(summary)]
    unseen = np.flatnonzero(stats.image_count == 0)
    if len(unseen):
        names = ", ".join(summary.class_names[c] for c in unseen[:_NUM_NAMES])
        more = f" and {len(unseen) - _NUM_NAMES} more" if len(unseen) > _NUM_NAMES else ""
        blocks.append(f"Classes without an instance ({len(unseen)}): {names}{more}")
    if len(seen) > 2 * _NUM_EXTREMES:
        blocks.append("Most frequent:\n" + _class_table(summary, seen[:_NUM_EXTREMES]))
        blocks.append("Least frequent:\n" + _class_table(summary, seen[-_NUM_EXTREMES:]))
    elif len(seen):
        blocks.append("Classes:\n" + _class_table(summary, seen))
    return "\n\n".join(blocks)


def _picture_lines(summary: DatasetSummary) -> Iterator[str]:
    yield f"{summary.name}: {summary.num_pictures} pictures, {summary.num_empty} without instances"
    if len(summary.sizes):
        smallest, median, largest = np.percentile(summary.sizes, (0, 50, 100), axis=0)
        if (smallest == largest).all():
            yield f"Size: {median[0]:.0f} x {median[1]:.0f} pixels (height x width)"
        else:
            yield (
                f"Height: {smallest[0]:.0f} to {largest[0]:.0f} pixels, median {median[0]:.0f}; "
                f"width: {smallest[1]:.0f} to {largest[1]:.0f}, median {median[1]:.0f}"
            )
    if summary.num_crowd:
        yield f"Crowd regions: {summary.num_crowd}, not counted"
    if summary.missing_files:
        num_checked = min(summary.num_pictures, NUM_FILES_CHECKED)
        yield (
            f"MISSING picture files: {len(summary.missing_files)} of {num_checked} looked for, "
            f"such as {summary.missing_files[0]}"
        )


def _group_block(summary: DatasetSummary) -> str:
    if summary.thresholds is None:
        title = "Groups by the file's `frequency`, which is counted in the training set:"
        return f"{title}\n{_group_table(summary)}"
    low, high = summary.thresholds
    spans = (f"1 to {low}", f"{low + 1} to {high}", f"over {high}", "0", "")
    if summary.counted_in:
        title = (
            f"Groups by the image counts of {summary.counted_in}, thresholds {low} and {high}, as "
            "in evaluation:"
        )
        # A class that is never trained on is in the rare group.
        spans = (f"0 to {low}", f"{low + 1} to {high}", f"over {high}", "", "")
        return f"{title}\n{_group_table(summary, {'training images a class': spans})}"
    title = f"Groups by this set's own image counts, thresholds {low} and {high}:"
    return f"{title}\n{_group_table(summary, {'images a class': spans})}"


def _group_table(
    summary: DatasetSummary, spans: Mapping[str, tuple[str, ...]] | None = None
) -> str:
    """Classes that occur, by group, those that do not, and all.

    A picture counts in every group it has a class of, so pictures by group are not given; the
    image column is the sum over the group's classes.
    """
    stats, seen = summary.stats, summary.stats.image_count > 0
    rows = [(summary.groups == group) & seen for group in range(len(GROUP_NAMES))]
    rows += [~seen, np.ones_like(seen)]
    columns = {
        "group": (*GROUP_NAMES, "none", "all"),
        **(spans or {}),
        "classes": [row.sum() for row in rows],
        "image-class pairs": [f"{stats.image_count[row].sum():g}" for row in rows],
        "instances": [f"{stats.instance_count[row].sum():g}" for row in rows],
    }
    return tabulate(columns, headers="keys", tablefmt="pipe")


def _class_table(summary: DatasetSummary, classes: np.ndarray) -> str:
    stats, ids = summary.stats, summary.category_ids
    rows = [
        [
            int(c),
            "" if ids is None else ids[c],
            summary.class_names[c],
            GROUP_NAMES[summary.groups[c]],
            f"{stats.image_count[c]:g}",
            f"{stats.instance_count[c]:g}",
        ]
        for c in classes
    ]
    headers = ("class", "category id", "name", "group", "images", "instances")
    return tabulate(rows, headers=headers, tablefmt="pipe")
