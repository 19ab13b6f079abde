"""Training pictures that train nothing: ``DATASETS.HOLDOUT``."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from detectron2.config import CfgNode

from lt_det.data.cache.mapped_records import counting_records
from lt_det.data.class_lists import ClassLists
from lt_det.utils.seeding import derived_seed, picture_number

__all__ = ["HELD_OUT_SEED", "is_drawn", "split_held_out"]

logger = logging.getLogger(__name__)

# Of their augmentations and RoIs: they look the same in every training and every evaluation.
HELD_OUT_SEED = 0
# Tells this draw from others of the same pictures.
_HELD_OUT = 3


def is_drawn(record: Mapping, share: float, key: int) -> bool:
    """Whether a picture is in a random ``share`` of all, by its id alone; other keys, others."""
    return derived_seed(picture_number(record), key) < share * 2**32


def split_held_out(cfg: CfgNode, records: Sequence[dict]) -> tuple[list[int], list[int]]:
    """Indices of the pictures to train on, and of those that ``DATASETS.HOLDOUT`` sets aside.

    Which ones depends on the set alone, not on order, seed or number of processes. A class of which
    all pictures would be set aside keeps them all.

    Args:
        cfg: the config.
        records: training records.

    Raises:
        ValueError: if ``HOLDOUT`` is not in [0, 1), or leaves nothing on one side.
    """
    share = cfg.DATASETS.HOLDOUT
    if not 0 <= share < 1:
        raise ValueError(f"Expected DATASETS.HOLDOUT to be in [0, 1), but got {share}")
    if not share:
        return list(range(len(records))), []
    drawn = np.array([is_drawn(record, share, _HELD_OUT) for record in records], dtype=bool)
    classes = ClassLists.from_dicts(counting_records(records))
    # Of each class, the pictures that are not drawn.
    num_left = np.bincount(
        classes.class_ids, ~drawn[classes.images], minlength=cfg.MODEL.ROI_HEADS.NUM_CLASSES
    )
    drawn[classes.images[num_left[classes.class_ids] == 0]] = False
    if drawn.all() or not drawn.any():
        raise ValueError(
            f"DATASETS.HOLDOUT {share} of {len(records)} training pictures leaves nothing on one "
            "side: choose another share"
        )
    held_out = np.flatnonzero(drawn)
    seen = np.unique(classes.class_ids[drawn[classes.images]])
    logger.info(
        "Held out %d of %d training pictures (DATASETS.HOLDOUT), with objects of %d of %d classes",
        len(held_out),
        len(records),
        len(seen),
        cfg.MODEL.ROI_HEADS.NUM_CLASSES,
    )
    return np.flatnonzero(~drawn).tolist(), held_out.tolist()
