"""Checking a registered data set and saying what it contains."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from detectron2.utils.file_io import PathManager

from lt_det.class_stats import LVIS_THRESHOLDS
from lt_det.data.datasets.known_names import near_matches
from lt_det.data.datasets.standard_records import standard_records
from lt_det.data.images.reader import ImageReader
from lt_det.data.inspection.file_faults import faults_beside
from lt_det.data.inspection.image_checks import find_image_faults
from lt_det.data.inspection.requirements import Needs
from lt_det.data.inspection.summary import DatasetSummary, summarize
from lt_det.data.inspection.summary_text import format_summary
from lt_det.data.judgement.completion import write_judged
from lt_det.data.judgement.fault import refuse_faults
from lt_det.data.judgement.findings import format_notes
from lt_det.data.judgement.judge import Judgement, judge
from lt_det.data.judgement.read import read_content
from lt_det.data.splits.evaluation_groups import EvaluationGroups, groups_of_evaluation
from lt_det.data.splits.splits import Split
from lt_det.data.splits.threshold_proposal import thresholds_hint
from lt_det.pages.class_plot import plot_class_distribution

__all__ = ["check_dataset", "describe_dataset", "inspect_dataset", "load_summary"]


def inspect_dataset(
    name: str,
    output_dir: str | Path | None = None,
    thresholds: tuple[int, int] | None = None,
    needs: Needs | None = None,
    images: ImageReader | None = None,
    training: Split | None = None,
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
        images: see :func:`check_dataset`.
        training: the training set, if this is another one: its image counts group the classes, as
            in evaluation.
        ignore: see :func:`check_dataset`.
        judged_file: where to write the file as it is judged, for other tools.

    Returns:
        The summary, with the plot's path as its last line; one line for a test set.

    Raises:
        FileNotFoundError: if the annotation file is missing.
        ValueError: if the name is unknown or the data set is broken; with all faults of a file in
            COCO or LVIS format.
    """
    judgement = check_dataset(name, needs, images, ignore)
    return describe_dataset(name, judgement, output_dir, thresholds, training, ignore, judged_file)


def describe_dataset(
    name: str,
    judgement: Judgement | None,
    output_dir: str | Path | None = None,
    thresholds: tuple[int, int] | None = None,
    training: Split | None = None,
    ignore: str | None = None,
    judged_file: str | Path | None = None,
) -> str:
    """Summarise a data set that was checked and plot its class distribution.

    Args:
        name: registered name.
        judgement: of :func:`check_dataset`.
        output_dir: see :func:`inspect_dataset`, as the others.
        thresholds: image counts that end the rare and the common group.
        training: the training set, if this is another one.
        ignore: what the judgement was made with.
        judged_file: where to write the file as it is judged.

    Returns:
        See :func:`inspect_dataset`.

    Raises:
        FileNotFoundError: if its files are missing.
        ValueError: if the name is unknown or the data set is broken.
    """
    content = None if judgement is None else judgement.content
    notes = _report_notes(judgement, judged_file)
    if content is not None and not content["annotations"]:
        line = f"{name}: test set without annotations, {len(content['images'])} images"
        return "\n\n".join([line, *notes])
    given = groups_of_evaluation(name, content, thresholds, training)
    thresholds = thresholds or LVIS_THRESHOLDS
    summary = _summary(name, judgement, thresholds, given, ignore)
    blocks = [format_summary(summary), *notes]
    counted = training.stats if training is not None else summary.stats
    if summary.thresholds is not None and (hint := thresholds_hint(counted, summary.thresholds)):
        blocks.append(hint)
    if output_dir is not None:
        path = Path(output_dir) / f"{name}_classes.png"
        plot_class_distribution(
            summary.stats,
            path,
            thresholds,
            title=name,
            groups=given and given.groups,
            class_names=summary.class_names,
        )
        blocks.append(f"Class distribution drawn to {path}")
    return "\n\n".join(blocks)


def check_dataset(
    name: str,
    needs: Needs | None = None,
    images: ImageReader | None = None,
    ignore: str | None = None,
) -> Judgement | None:
    """Search the annotation file of a set in COCO or LVIS format; other sets pass.

    Args:
        name: registered name.
        needs: what the set is for.
        images: decodes every image, to find those that are broken or not as the file says; None
            decodes none.
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
        if images is not None and name in DatasetCatalog.list():
            raise ValueError(f"Images of {name!r} cannot be checked: no COCO or LVIS format")
        return None
    content, notes = read_content(PathManager.get_local_path(metadata.json_file))
    judgement = judge(
        content, metadata.evaluator_type, ignore=ignore or metadata.get("ignore", "fault")
    )
    faults = [*judgement.faults]
    faults += faults_beside(judgement, content, metadata.image_root, needs or Needs())
    if images is not None and judgement.content:
        faults += find_image_faults(judgement.content["images"], metadata.image_root, images)
    refuse_faults(faults, metadata.json_file)
    return dataclasses.replace(judgement, notes=notes + judgement.notes)


def load_summary(
    name: str,
    thresholds: tuple[int, int] = LVIS_THRESHOLDS,
    groups: EvaluationGroups | None = None,
) -> DatasetSummary:
    """Load a registered data set and summarise it.

    Args:
        name: registered name.
        thresholds: image counts that end the rare and the common group.
        groups: groups of the classes, if not by its own counts and the thresholds.

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
    summary = summarize(
        name, dicts, class_names, thresholds, category_ids=ids, groups=groups and groups.groups
    )
    return _with_source(summary, groups)


def _summary(
    name: str,
    judgement: Judgement | None,
    thresholds: tuple[int, int],
    groups: EvaluationGroups | None,
    ignore: str | None,
) -> DatasetSummary:
    """Summarise the data set as it is registered, or as it was judged if that is asked for."""
    metadata = MetadataCatalog.get(name)
    if judgement is None or ignore in (None, metadata.get("ignore", "fault")):
        return load_summary(name, thresholds, groups)
    records, facts = standard_records(judgement, metadata.json_file, metadata.image_root)
    summary = summarize(
        name,
        records,
        facts["classes"],
        thresholds,
        category_ids=facts["category_ids"],
        groups=groups and groups.groups,
    )
    return _with_source(summary, groups)


def _with_source(summary: DatasetSummary, groups: EvaluationGroups | None) -> DatasetSummary:
    """Say in the summary which set's counts group the classes, if it is another one's."""
    if groups is None or groups.thresholds is None:
        return summary
    return dataclasses.replace(summary, thresholds=groups.thresholds, counted_in=groups.source)


def _report_notes(judgement: Judgement | None, judged_file: str | Path | None) -> list[str]:
    """Write the judged file, and describe what was odd in the file as it is."""
    if judgement is None:
        return []
    table = format_notes(judgement.notes)
    blocks = [f"Odd in the file, and how it is read by every tool:\n\n{table}"] if table else []
    if judged_file is not None:
        write_judged(judgement, judged_file)
        blocks.append(f"Judged file written to {judged_file}")
    return blocks
