"""Checking a registered data set and saying what it contains."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from detectron2.utils.file_io import PathManager

from lt_det.class_stats import LVIS_THRESHOLDS
from lt_det.data.datasets.known_names import near_matches
from lt_det.data.datasets.standard_records import standard_records
from lt_det.data.inspection.file_faults import faults_beside
from lt_det.data.inspection.picture_faults import find_picture_faults
from lt_det.data.inspection.requirements import Needs
from lt_det.data.inspection.summary import DatasetSummary, summarize
from lt_det.data.inspection.summary_text import format_summary
from lt_det.data.judgement.completion import write_judged
from lt_det.data.judgement.fault import refuse_faults
from lt_det.data.judgement.findings import format_notes
from lt_det.data.judgement.judge import Judgement, judge
from lt_det.data.judgement.read import read_content
from lt_det.pages.class_plot import plot_class_distribution

__all__ = ["check_dataset", "inspect_dataset", "load_summary"]


def inspect_dataset(
    name: str,
    output_dir: str | Path | None = None,
    thresholds: tuple[int, int] | None = None,
    needs: Needs | None = None,
    open_pictures: bool = False,
    ignore: str | None = None,
    judged_file: str | Path | None = None,
) -> str:
    """Check a registered data set, summarise it and plot its class distribution.

    Args:
        name: registered name.
        output_dir: folder for ``<name>_classes.png``; None draws no plot.
        thresholds: image counts that end the rare and the common group; None groups by the
            ``frequency`` of an LVIS-format file, and others by LVIS's thresholds.
        needs: what the set is for.
        open_pictures: see :func:`check_dataset`.
        ignore: see :func:`check_dataset`.
        judged_file: where to write the file as it is judged, for other tools.

    Returns:
        The summary, with the plot's path as its last line; one line for a test set.

    Raises:
        FileNotFoundError: if the annotation file is missing.
        ValueError: if the name is unknown or the data set is broken; with all faults of a file in
            COCO or LVIS format.
    """
    judgement = check_dataset(name, needs, open_pictures, ignore)
    content = None if judgement is None else judgement.content
    notes = _report_notes(judgement, judged_file)
    if content is not None and not content["annotations"]:
        return f"{name}: test set without annotations, {len(content['images'])} pictures{notes}"
    groups = None if content is None or thresholds else _groups_of_file(content)
    summary = _summary(name, judgement, thresholds or LVIS_THRESHOLDS, groups, ignore)
    text = format_summary(summary) + notes
    if output_dir is not None:
        path = Path(output_dir) / f"{name}_classes.png"
        plot_class_distribution(
            summary.stats, path, thresholds or LVIS_THRESHOLDS, title=name, groups=groups
        )
        text += f"\n\nClass distribution drawn to {path}"
    return text


def check_dataset(
    name: str,
    needs: Needs | None = None,
    open_pictures: bool = False,
    ignore: str | None = None,
) -> Judgement | None:
    """Search the annotation file of a set in COCO or LVIS format; other sets pass.

    Args:
        name: registered name.
        needs: what the set is for.
        open_pictures: open the header of every picture, too.
        ignore: what objects with ``ignore`` 1 are in the COCO format, "fault" or "crowd"; None is
            as the set is registered.

    Returns:
        The judgement, without faults; None for a set of another format.

    Raises:
        FileNotFoundError: if the annotation file is missing.
        ValueError: with a table of all faults.
    """
    metadata = MetadataCatalog.get(name) if name in DatasetCatalog.list() else Metadata()
    if metadata.get("evaluator_type") not in ("coco", "lvis"):
        if open_pictures and name in DatasetCatalog.list():
            raise ValueError(f"Pictures of {name!r} cannot be checked: no COCO or LVIS format")
        return None
    content, notes = read_content(PathManager.get_local_path(metadata.json_file))
    judgement = judge(
        content, metadata.evaluator_type, ignore=ignore or metadata.get("ignore", "fault")
    )
    faults = [*judgement.faults]
    faults += faults_beside(judgement, content, metadata.image_root, needs or Needs())
    if open_pictures:
        faults += find_picture_faults(judgement.content["images"], metadata.image_root)
    refuse_faults(faults, metadata.json_file)
    return dataclasses.replace(judgement, notes=notes + judgement.notes)


def load_summary(
    name: str,
    thresholds: tuple[int, int] = LVIS_THRESHOLDS,
    groups: np.ndarray | None = None,
) -> DatasetSummary:
    """Load a registered data set and summarise it.

    Args:
        name: registered name.
        thresholds: image counts that end the rare and the common group.
        groups: group of each class (K,), if not by the thresholds.

    Raises:
        FileNotFoundError: if its files are missing.
        ValueError: if the name is unknown or the data set is broken.
    """
    if name not in DatasetCatalog.list():
        raise ValueError(f"Unknown data set {name!r}. {near_matches(name)}")
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
    metadata = MetadataCatalog.get(name)
    class_names = metadata.get("thing_classes")
    if class_names is None:
        raise ValueError(
            f"Data set {name!r} has no thing_classes in its metadata: only sets with instances "
            "can be inspected"
        )
    id_map = metadata.get("thing_dataset_id_to_contiguous_id") or {}
    ids = sorted(id_map, key=id_map.get) if len(id_map) == len(class_names) else None
    return summarize(name, dicts, class_names, thresholds, category_ids=ids, groups=groups)


def _summary(
    name: str,
    judgement: Judgement | None,
    thresholds: tuple[int, int],
    groups: np.ndarray | None,
    ignore: str | None,
) -> DatasetSummary:
    """Summarise the data set as it is registered, or as it was judged if that is asked for."""
    metadata = MetadataCatalog.get(name)
    if judgement is None or ignore in (None, metadata.get("ignore", "fault")):
        return load_summary(name, thresholds, groups)
    records, facts = standard_records(judgement, metadata.json_file, metadata.image_root)
    return summarize(
        name,
        records,
        facts["classes"],
        thresholds,
        category_ids=facts["category_ids"],
        groups=groups,
    )


def _report_notes(judgement: Judgement | None, judged_file: str | Path | None) -> str:
    """Write the judged file, and describe what was odd in the file as it is."""
    if judgement is None:
        return ""
    table = format_notes(judgement.notes)
    text = f"\n\nOdd in the file, and how it is read by every tool:\n\n{table}" if table else ""
    if judged_file is not None:
        write_judged(judgement, judged_file)
        text += f"\n\nJudged file written to {judged_file}"
    return text


def _groups_of_file(content: Mapping) -> np.ndarray | None:
    """Groups by ``frequency``, which LVIS counts in the training set; None where one is missing."""
    categories = sorted(content["categories"], key=lambda category: category["id"])
    letters = [category.get("frequency") for category in categories]
    known = all(letter in ("r", "c", "f") for letter in letters)
    return np.array(["rcf".index(letter) for letter in letters]) if known else None
