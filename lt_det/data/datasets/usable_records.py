"""What Detectron2's ``get_detection_dataset_dicts`` does to records, for mapped ones too."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.build import print_instances_class_histogram

from lt_det.data.cache.mapped_records import counting_records, select_records
from lt_det.data.datasets.judged_file import announce_notes
from lt_det.data.datasets.record_source import dataset_records
from lt_det.data.judgement.annotations import judge_flag
from lt_det.data.judgement.fault import refuse_faults
from lt_det.data.judgement.findings import Findings

__all__ = ["own_records", "usable_records"]

logger = logging.getLogger(__name__)


def usable_records(dataset_name: str, filter_empty: bool) -> Sequence[dict]:
    """The records of a registered data set; its histogram of classes is logged, as in Detectron2.

    Args:
        dataset_name: registered name.
        filter_empty: whether to leave out pictures without an object that is no crowd region.

    Returns:
        Records to be read only, mapped from the cache where lt_det knows the data set's file.

    Raises:
        ValueError: if no picture is left.
    """
    records = dataset_records(dataset_name)
    if records is None:
        records = own_records(dataset_name)
    if len(records) and "annotations" not in records[0]:
        return records
    number = len(records)
    objects = sum(len(r.get("annotations", ())) for r in counting_records(records))
    if filter_empty:
        records = select_records(
            records, [i for i, r in enumerate(counting_records(records)) if _has_object(r)]
        )
        logger.info(
            "Removed %d images with no usable annotations. %d images left.",
            number - len(records),
            len(records),
        )
    if not len(records):
        what = "no picture with an object to train on" if number else "no picture"
        why = f": all {objects} objects are iscrowd" if objects else ""
        raise ValueError(f"Data set {dataset_name!r} has {what}{why}")
    _log_histogram(records, dataset_name)
    return records


def own_records(dataset_name: str) -> list[dict]:
    """Give the records of a user's own function, ``iscrowd`` of each object 0 or 1.

    Detectron2's mapper leaves out what is not equal to 0, others count what is not true.

    Raises:
        ValueError: if an ``iscrowd`` is neither 0 nor 1.
    """
    records, findings = DatasetCatalog.get(dataset_name), Findings()
    records = [_with_plain_crowds(record, findings) for record in records]
    refuse_faults(findings.faults, f"Data set {dataset_name!r}")
    announce_notes(findings.notes, f"Data set {dataset_name!r}", dataset_name)
    return records


def _with_plain_crowds(record: dict, findings: Findings) -> dict:
    objects = record.get("annotations", ())
    if all(type(o.get("iscrowd", 0)) is int and o.get("iscrowd", 0) in (0, 1) for o in objects):
        return record
    name = f"image {record.get('image_id', record.get('file_name'))}"
    plain = [
        {**o, "iscrowd": judge_flag("iscrowd", o.get("iscrowd", 0), name, findings)}
        for o in objects
    ]
    return {**record, "annotations": plain}


def _has_object(record: dict) -> bool:
    return any(annotation.get("iscrowd", 0) == 0 for annotation in record.get("annotations", ()))


def _log_histogram(records: Sequence[dict], dataset_name: str) -> None:
    names = MetadataCatalog.get(dataset_name).get("thing_classes")
    if names is None:  # as of a user's own set
        return
    of_pictures = (record.get("annotations", ()) for record in counting_records(records))
    # As if all objects were in one picture: a histogram of each picture takes ten times as long.
    picture = {"annotations": list(itertools.chain.from_iterable(of_pictures))}
    _log_counts(picture["annotations"], len(records), len(names), dataset_name)
    print_instances_class_histogram([picture], names)


def _log_counts(
    annotations: Sequence[dict], num_images: int, num_classes: int, dataset_name: str
) -> None:
    objects = [a["category_id"] for a in annotations if not a.get("iscrowd", 0)]
    logger.info(
        "Data set %s: %d images, %d objects of %d of its %d classes",
        dataset_name,
        num_images,
        len(objects),
        len(set(objects)),
        num_classes,
    )
