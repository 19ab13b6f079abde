"""What a registered data set contains, as text; the plot is in :mod:`class_plot`."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from tabulate import tabulate

from lt_det.class_stats import GROUP_NAMES, ClassStats
from lt_det.data.annotation_file import read_annotation_file
from lt_det.data.class_plot import LVIS_THRESHOLDS, plot_class_distribution
from lt_det.data.faults import find_faults, format_faults

__all__ = [
    "DatasetSummary",
    "check_dataset",
    "format_summary",
    "inspect_dataset",
    "load_summary",
    "summarize",
]

_NUM_EXTREMES = 10
_NUM_NAMES = 20
# Enough to find a wrong image root, few enough for a network drive.
_NUM_FILES_CHECKED = 100


@dataclass(frozen=True)
class DatasetSummary:
    """What :func:`summarize` found.

    Attributes:
        name: the data set.
        stats: its class counts.
        class_names: K names.
        thresholds: image counts that end the rare and the common group.
        num_pictures: pictures, with annotations or without.
        sizes: (N, 2) height and width of the pictures whose record says so, in pixels.
        num_empty: pictures without annotations.
        num_crowd: crowd regions, which are not counted as instances.
        missing_files: picture files that are not there, of those that were looked for.
    """

    name: str
    stats: ClassStats
    class_names: tuple[str, ...]
    thresholds: tuple[int, int]
    num_pictures: int
    sizes: np.ndarray
    num_empty: int
    num_crowd: int
    missing_files: tuple[str, ...]


def inspect_dataset(
    name: str,
    output_dir: str | Path | None = None,
    thresholds: tuple[int, int] = LVIS_THRESHOLDS,
    num_classes: int | None = None,
) -> str:
    """Check a registered data set, summarise it and plot its class distribution.

    Args:
        name: registered name.
        output_dir: folder for ``<name>_classes.png``; None draws no plot.
        thresholds: image counts that end the rare and the common group.
        num_classes: ``MODEL.ROI_HEADS.NUM_CLASSES`` to compare with, if any.

    Returns:
        The summary, with the plot's path as its last line.

    Raises:
        FileNotFoundError: if the annotation file is missing.
        ValueError: if the name is unknown or the data set is broken; with all faults of a file in
            COCO or LVIS format.
    """
    check_dataset(name, num_classes)
    summary = load_summary(name, thresholds)
    text = format_summary(summary)
    if output_dir is not None:
        path = Path(output_dir) / f"{name}_classes.png"
        plot_class_distribution(summary.stats, path, thresholds, title=name)
        text += f"\n\nClass distribution drawn to {path}"
    return text


def check_dataset(name: str, num_classes: int | None = None) -> None:
    """Search the annotation file of a set in COCO or LVIS format; other sets pass.

    Raises:
        FileNotFoundError: if the annotation file is missing.
        ValueError: with a table of all faults.
    """
    metadata = MetadataCatalog.get(name) if name in DatasetCatalog.list() else None
    if metadata is None or metadata.get("evaluator_type") not in ("coco", "lvis"):
        return
    content = read_annotation_file(metadata.json_file)
    is_lvis = metadata.evaluator_type == "lvis"
    faults = list(
        find_faults(content, metadata.image_root, is_lvis=is_lvis, num_classes=num_classes)
    )
    if faults:
        raise ValueError(
            f"{metadata.json_file} has {len(faults)} fault{'s' if len(faults) > 1 else ''}:\n\n"
            f"{format_faults(faults)}"
        )


def load_summary(name: str, thresholds: tuple[int, int] = LVIS_THRESHOLDS) -> DatasetSummary:
    """Load a registered data set and summarise it.

    Raises:
        FileNotFoundError: if its files are missing.
        ValueError: if the name is unknown or the data set is broken.
    """
    if name not in DatasetCatalog.list():
        raise ValueError(f"Unknown data set {name!r}. {_near_matches(name)}")
    try:
        dicts = DatasetCatalog.get(name)
    except FileNotFoundError as error:
        if error.filename is None:
            raise
        # Loaders outside lt_det just open the file.
        raise FileNotFoundError(
            f"Data set {name!r} needs {error.filename}, which is missing. Check the path, or set "
            "DETECTRON2_DATASETS to the folder that holds the data sets"
        ) from error
    class_names = MetadataCatalog.get(name).get("thing_classes")
    if class_names is None:
        raise ValueError(
            f"Data set {name!r} has no thing_classes in its metadata: only sets with instances "
            "can be inspected"
        )
    return summarize(name, dicts, class_names, thresholds)


def summarize(
    name: str,
    dataset_dicts: Sequence[Mapping],
    class_names: Sequence[str],
    thresholds: tuple[int, int] = LVIS_THRESHOLDS,
) -> DatasetSummary:
    """Count what is in records of Detectron2's standard format.

    Args:
        name: the data set's name.
        dataset_dicts: its records.
        class_names: K names.
        thresholds: image counts that end the rare and the common group.

    Raises:
        ValueError: if a ``category_id`` has no name.
    """
    sizes = [(r["height"], r["width"]) for r in dataset_dicts if "height" in r and "width" in r]
    return DatasetSummary(
        name=name,
        stats=ClassStats.from_dicts(dataset_dicts, len(class_names)),
        class_names=tuple(class_names),
        thresholds=thresholds,
        num_pictures=len(dataset_dicts),
        sizes=np.array(sizes, dtype=np.int64).reshape(-1, 2),
        num_empty=sum(not record.get("annotations") for record in dataset_dicts),
        num_crowd=sum(
            bool(annotation.get("iscrowd", 0))
            for record in dataset_dicts
            for annotation in record.get("annotations", ())
        ),
        missing_files=_missing_files(dataset_dicts),
    )


def format_summary(summary: DatasetSummary) -> str:
    """The summary as text: pictures, groups, empty classes, most and least frequent classes."""
    stats = summary.stats
    # Stable, so that equal counts stay in the order of class ids.
    by_count = np.argsort(-stats.image_count, kind="stable")
    seen = by_count[stats.image_count[by_count] > 0]
    low, high = summary.thresholds
    blocks = [
        "\n".join(_picture_lines(summary)),
        f"Groups by this set's own image counts, thresholds {low} and {high}:\n"
        + _group_table(summary),
    ]
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
        num_checked = min(summary.num_pictures, _NUM_FILES_CHECKED)
        yield (
            f"MISSING picture files: {len(summary.missing_files)} of {num_checked} looked for, "
            f"such as {summary.missing_files[0]}"
        )


def _group_table(summary: DatasetSummary) -> str:
    """Groups by this set's own image counts.

    A picture counts in every group it has a class of, so pictures by group are not given; the
    image column is the sum over the group's classes.
    """
    stats, (low, high) = summary.stats, summary.thresholds
    groups = stats.groups(summary.thresholds)
    ranges = (f"1 to {low}", f"{low + 1} to {high}", f"over {high}")
    selections = [
        (name, span, (groups == group) & (stats.image_count > 0))
        for group, (name, span) in enumerate(zip(GROUP_NAMES, ranges, strict=True))
    ]
    selections.append(("none", "0", stats.image_count == 0))
    selections.append(("all", "", np.ones(stats.num_classes, dtype=bool)))
    rows = [
        [
            name,
            span,
            s.sum(),
            f"{stats.image_count[s].sum():g}",
            f"{stats.instance_count[s].sum():g}",
        ]
        for name, span, s in selections
    ]
    headers = ("group", "images a class", "classes", "image-class pairs", "instances")
    return tabulate(rows, headers=headers, tablefmt="pipe")


def _class_table(summary: DatasetSummary, classes: np.ndarray) -> str:
    stats, groups = summary.stats, summary.stats.groups(summary.thresholds)
    rows = [
        [
            int(c),
            summary.class_names[c],
            GROUP_NAMES[groups[c]],
            f"{stats.image_count[c]:g}",
            f"{stats.instance_count[c]:g}",
        ]
        for c in classes
    ]
    return tabulate(rows, headers=("id", "class", "group", "images", "instances"), tablefmt="pipe")


def _missing_files(dataset_dicts: Sequence[Mapping]) -> tuple[str, ...]:
    step = max(1, len(dataset_dicts) // _NUM_FILES_CHECKED)
    checked = (record.get("file_name") for record in dataset_dicts[::step][:_NUM_FILES_CHECKED])
    return tuple(name for name in checked if name is not None and not os.path.isfile(name))


def _near_matches(name: str) -> str:
    known = sorted(DatasetCatalog.list())
    close = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
    close += [k for k in known if name.lower() in k.lower() and k not in close][:5]
    return f"Near matches: {', '.join(close)}" if close else f"Registered: {', '.join(known)}"
