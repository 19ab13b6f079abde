"""Rows that stand for several RoIs: a row of weight w counts as w copies of it, 0 as none.

A feature bank keeps a part of the background, so each background row of it stands for several RoIs
of the detector. Everything that counts rows goes through here.

Shape shorthand: see :mod:`lt_det.losses.base`. ``weights`` are (R,), at least 0; None is ones.
"""

from __future__ import annotations

import torch

__all__ = ["count_by_class", "mean_over_rows", "ones_or", "present_rows", "round_at_random"]


def ones_or(weights: torch.Tensor | None, gt_classes: torch.Tensor) -> torch.Tensor:
    """Return the weights, ones where they are None, (R,) float64."""
    if weights is None:
        return torch.ones_like(gt_classes, dtype=torch.float64)
    return weights.to(torch.float64)


def present_rows(gt_classes: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """Return the labels without those of weight 0."""
    return gt_classes if weights is None else gt_classes[weights > 0]


def count_by_class(
    gt_classes: torch.Tensor, num_classes: int, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Count the RoIs of each class and of the background, (K + 1,) float64."""
    rows = ones_or(weights, gt_classes)
    return rows.new_zeros(num_classes + 1).index_add_(0, gt_classes, rows)


def mean_over_rows(values: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """Average values (R,) over the RoIs; 0, with a gradient, where there are none."""
    if weights is None:
        return values.sum() / max(len(values), 1)
    weights = weights.to(values)
    return (values * weights).sum() / weights.sum().clamp(min=torch.finfo(values.dtype).tiny)


def round_at_random(number: torch.Tensor) -> torch.Tensor:
    """Round down or up, at random, so that the expectation is ``number`` itself; float64, on CPU.

    So a share of the rows is drawn exactly, on average, whatever their number. An integer stays.
    """
    number = number.to("cpu", torch.float64)
    return (number + torch.rand(number.shape, dtype=torch.float64)).floor()
