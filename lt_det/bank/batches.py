"""Streams of training batches from a feature bank."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from detectron2.config import CfgNode

from lt_det.bank.feature_bank import FeatureBank
from lt_det.data.held_out import HELD_OUT_SEED
from lt_det.data.stream import Place
from lt_det.modeling.known_negatives import known_negative_classes
from lt_det.modeling.roi_recorder import RoIs
from lt_det.utils.seeding import derived_seed

__all__ = ["ROI_SAMPLERS", "class_aware_rois", "held_out_rois", "picture_rois"]

ROI_SAMPLERS = ("", "class_aware")


def picture_rois(
    bank: FeatureBank,
    places: Sequence[Place],
    seed: int,
    iteration: int,
    records: Sequence[dict] | None = None,
) -> RoIs:
    """The RoIs of a batch of pictures at one step, as the detector would sample them.

    Args:
        bank: of the training set.
        places: the pictures.
        seed: of the training.
        iteration: number of the step.
        records: of the training set, in the bank's order, for a loss that uses LVIS's lists.
    """
    images = [place.index for place in places]
    numbers = bank.picture_numbers[images].tolist()
    # The keys of lt_det.engine.autocast_trainer: the same step sees the same RoIs there.
    rois = bank.rois(images, [(seed, iteration, number) for number in numbers])
    return _with_lists(rois, bank, images, records)


def held_out_rois(
    bank: FeatureBank, records: Sequence[dict] | None = None, batch_size: int = 8
) -> Iterator[RoIs]:
    """The RoIs of all pictures of a bank, each sampled alike every time.

    Args:
        bank: of the pictures.
        records: see :func:`picture_rois`.
        batch_size: pictures at a time.
    """
    numbers = bank.picture_numbers.tolist()
    for start in range(0, len(numbers), batch_size):
        images = range(start, min(start + batch_size, len(numbers)))
        rois = bank.rois(images, [(HELD_OUT_SEED, numbers[i]) for i in images])
        yield _with_lists(rois, bank, images, records)


def _with_lists(
    rois: RoIs, bank: FeatureBank, images: Sequence[int], records: Sequence[dict] | None
) -> RoIs:
    """RoIs of these pictures with what LVIS's lists say about them."""
    if records is None:
        return rois
    known_negatives = known_negative_classes([records[image] for image in images], bank.num_classes)
    return dataclasses.replace(rois, known_negatives=known_negatives.to(bank.device)[rois.image_of])


def class_aware_rois(cfg: CfgNode, bank: FeatureBank, seed: int) -> Iterator[RoIs]:
    """Endless batches in which every class has as many RoIs: a class is drawn, then an RoI of it.

    Numbers of foreground and background RoIs are those that a step of ``SOLVER.IMS_PER_BATCH``
    pictures has on average; the background is drawn uniformly. Sampling of pictures cannot do
    this: with a picture come its other classes.

    Args:
        cfg: ``SOLVER.IMS_PER_BATCH`` is read.
        bank: of the training set.
        seed: of the stream.

    Raises:
        ValueError: if the bank has no foreground.
    """
    labels, weights = bank.labels_of_all(), bank.weights_of_all()
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(bank.num_classes + 1))
    counts = np.diff(starts)
    classes = np.flatnonzero(counts)
    if not len(classes):
        raise ValueError("FEATURE_BANK.ROI_SAMPLER 'class_aware': the bank has no foreground RoI")
    background = order[starts[-1] :]
    share = np.cumsum(weights[background])
    num_foreground, num_rois = bank.mean_step(cfg.SOLVER.IMS_PER_BATCH)
    iteration = 0
    while True:
        rng = np.random.default_rng(derived_seed(seed, iteration))
        drawn = rng.choice(classes, num_foreground)
        rows = order[starts[drawn] + rng.integers(counts[drawn])]
        if len(background):
            points = rng.random(num_rois - num_foreground) * share[-1]
            others = background[np.searchsorted(share, points, side="right")]
            rows = np.concatenate([rows, others])
        yield bank.rows(rows)
        iteration += 1
