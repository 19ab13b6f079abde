"""What Detectron2's ``get_detection_dataset_dicts`` does to records, for mapped ones too."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence

from detectron2.data import MetadataCatalog, get_detection_dataset_dicts
from detectron2.data.build import print_instances_class_histogram

from lt_det.data.cache.mapped_records import counting_records, select_records
from lt_det.data.datasets.record_source import dataset_records

__all__ = ["usable_records"]

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
        return get_detection_dataset_dicts(dataset_name, filter_empty=filter_empty)
    number = len(records)
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
        raise ValueError(f"Data set {dataset_name!r} has {what}")
    _log_histogram(records, dataset_name)
    return records


def _has_object(record: dict) -> bool:
    return any(annotation.get("iscrowd", 0) == 0 for annotation in record["annotations"])


def _log_histogram(records: Sequence[dict], dataset_name: str) -> None:
    of_pictures = (record["annotations"] for record in counting_records(records))
    # As if all objects were in one picture: a histogram of each picture takes ten times as long.
    picture = {"annotations": list(itertools.chain.from_iterable(of_pictures))}
    _log_counts(picture["annotations"], len(records), dataset_name)
    print_instances_class_histogram([picture], MetadataCatalog.get(dataset_name).thing_classes)


def _log_counts(annotations: Sequence[dict], num_images: int, dataset_name: str) -> None:
    objects = [a["category_id"] for a in annotations if not a.get("iscrowd", 0)]
    logger.info(
        "Data set %s: %d images, %d objects of %d of its %d classes",
        dataset_name,
        num_images,
        len(objects),
        len(set(objects)),
        len(MetadataCatalog.get(dataset_name).thing_classes),
    )
