"""The records of ``DATASETS.TRAIN``, filtered as Detectron2's loader does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog, get_detection_dataset_dicts

from lt_det.data.cache.mapped_records import join_records
from lt_det.data.datasets.check import class_difference
from lt_det.data.datasets.lvis_builtin import with_contiguous_federated_lists
from lt_det.data.datasets.usable_records import usable_records

__all__ = ["check_num_classes", "training_dicts", "training_sets"]


def training_dicts(cfg: CfgNode) -> Sequence[dict]:
    """Dicts of all sets of ``DATASETS.TRAIN``; see :func:`training_sets`."""
    return join_records([records for _, records in training_sets(cfg)])


def training_sets(cfg: CfgNode) -> Iterator[tuple[str, Sequence[dict]]]:
    """Name and dicts of each set of ``DATASETS.TRAIN``, filtered as Detectron2's loader does.

    The dicts are to be read only: they may be mapped from the cache and made anew at each access.

    ``neg_category_ids`` and ``not_exhaustive_category_ids`` are classes in [0, K) for every LVIS
    set, Detectron2's own included.

    Raises:
        ValueError: if no set is named.
    """
    names = cfg.DATASETS.TRAIN
    if not names:
        raise ValueError("DATASETS.TRAIN is empty: name the training sets in it")
    for number, name in enumerate(names):
        yield name, with_contiguous_federated_lists(_training_set(cfg, number), name)


def check_num_classes(dataset_names: Sequence[str], num_classes: int) -> None:
    """Raise ValueError if a loaded data set names another number of classes, or other classes."""
    known = {name: MetadataCatalog.get(name).get("thing_classes") for name in dataset_names}
    known = {name: list(classes) for name, classes in known.items() if classes is not None}
    first = next(iter(known), None)
    for name, classes in known.items():
        if len(classes) != num_classes:
            raise ValueError(
                f"MODEL.ROI_HEADS.NUM_CLASSES is {num_classes}, but data set {name!r} has "
                f"{len(classes)} classes: set MODEL.ROI_HEADS.NUM_CLASSES {len(classes)}"
            )
        if classes != known[first]:
            raise ValueError(class_difference(first, known[first], name, classes))


def _training_set(cfg: CfgNode, number: int) -> Sequence[dict]:
    name, filter_empty = cfg.DATASETS.TRAIN[number], cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS
    with_proposals, with_keypoints = cfg.MODEL.LOAD_PROPOSALS, cfg.MODEL.KEYPOINT_ON
    if not with_proposals and not with_keypoints:
        return usable_records(name, filter_empty)
    min_keypoints = cfg.MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE
    return get_detection_dataset_dicts(
        name,
        filter_empty=filter_empty,
        min_keypoints=min_keypoints if with_keypoints else 0,
        proposal_files=[cfg.DATASETS.PROPOSAL_FILES_TRAIN[number]] if with_proposals else None,
    )
