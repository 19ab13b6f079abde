"""Counts to log priors, in one place: clamping, shares, frequencies."""

from __future__ import annotations

import functools
import logging

import torch

from lt_det.class_stats import COUNT_TYPES
from lt_det.losses.base import ClassStatsBuffers

__all__ = ["check_count_type", "class_prior", "counts_above_zero", "frequency"]

logger = logging.getLogger(__name__)

# Half an observation: a class never seen is rarer than one seen once, but not impossible.
_HALF = 0.5
# LVIS subsets leave hundreds of classes empty; a log needs no more than a few of them.
_NUM_LISTED = 20


def check_count_type(count_type: str) -> str:
    """Return ``count_type`` if it is a known one.

    Raises:
        ValueError: otherwise.
    """
    if count_type not in COUNT_TYPES:
        raise ValueError(
            f"Expected `count_type` to be one of {COUNT_TYPES}, but got {count_type!r}"
        )
    return count_type


def class_prior(stats: ClassStatsBuffers, count_type: str) -> torch.Tensor:
    """Share of each class, q_j = n_j / sum_k n_k, shape (K,) float64, summing to 1."""
    count = counts_above_zero(stats, count_type)
    return count / count.sum()


def counts_above_zero(stats: ClassStatsBuffers, count_type: str) -> torch.Tensor:
    """Counts n_j, shape (K,) float64, a zero counted as half an observation."""
    return _clamped(stats, count_type, upper=None)


def frequency(stats: ClassStatsBuffers, count_type: str) -> torch.Tensor:
    """How often a class occurs, f_j in (0, 1), shape (K,) float64.

    "image": the share of images that contain the class (they sum to more than 1, because an
    image has several). "instance": the share of instances; unlike :func:`class_prior` it is not
    normalised again where a count was clamped.
    """
    if count_type == "image":
        total = stats.num_images
    else:
        total = stats.instance_count.sum().clamp(min=1)
    return _clamped(stats, count_type, upper=total - _HALF) / total


def _clamped(stats: ClassStatsBuffers, count_type: str, upper: torch.Tensor | None) -> torch.Tensor:
    """Counts in [0.5, upper], so that no logarithm is infinite."""
    count = stats.count(count_type)
    empty = (count <= 0).nonzero().flatten()
    if len(empty):
        _warn_once(tuple(empty.tolist()), count_type)
    count = count.clamp(min=_HALF)
    # A data set of one image makes upper = 0.5; the lower bound stays the stronger one.
    return count if upper is None else torch.minimum(count, upper.clamp(min=_HALF))


@functools.cache
def _warn_once(classes: tuple[int, ...], count_type: str) -> None:
    logger.warning(
        "%d classes have a zero %s count in the training set and are treated as having %g: "
        "classes (counted from 0) %s%s",
        len(classes),
        count_type,
        _HALF,
        list(classes[:_NUM_LISTED]),
        " ..." if len(classes) > _NUM_LISTED else "",
    )
