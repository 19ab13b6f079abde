"""Which RoIs of a picture a bank keeps, and which of those a training step sees.

A bank keeps every foreground RoI and a uniform sample of the background; a step draws from these
as Detectron2 draws from all. Where the step wants more background than was kept, what is there
counts more, so that in expectation every loss is what all RoIs would give.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from detectron2.modeling.roi_heads import ROIHeads
from detectron2.modeling.sampling import subsample_labels
from torch import nn

from lt_det.utils.seeding import derived_seed

__all__ = ["bank_sampling", "box_head_alone", "sample_step"]


@contextlib.contextmanager
def bank_sampling(
    model: nn.Module, num_background: int, seeds: Sequence[tuple[int, ...]]
) -> Iterator[list[int]]:
    """Inside, ROI heads keep what a bank keeps of each picture, in the order of the proposals.

    Args:
        model: in training mode. Its mask and keypoint heads are not run.
        num_background: background RoIs kept of a picture; -1 is all.
        seeds: the key of each picture's background sample, in the order of the batch.

    Yields:
        A list that receives how much background each picture had before sampling.
    """
    totals: list[int] = []
    heads = [module for module in model.modules() if isinstance(module, ROIHeads)]
    next_seed = iter(seeds)
    with box_head_alone(model):
        try:
            for head in heads:
                keeper = _keeper(head.num_classes, num_background, next_seed, totals)
                head._sample_proposals = keeper
            yield totals
        finally:
            for head in heads:
                del head._sample_proposals


@contextlib.contextmanager
def box_head_alone(model: nn.Module) -> Iterator[None]:
    """Inside, ROI heads run no mask or keypoint head."""
    switches = [
        (head, name, getattr(head, name))
        for head in model.modules()
        if isinstance(head, ROIHeads)
        for name in ("mask_on", "keypoint_on")
        if hasattr(head, name)
    ]
    try:
        for head, name, _ in switches:
            setattr(head, name, False)
        yield
    finally:
        for head, name, value in switches:
            setattr(head, name, value)


def _keeper(num_classes: int, num_background: int, next_seed: Iterator, totals: list[int]):
    """A substitute of :meth:`ROIHeads._sample_proposals`."""

    def keep(matched_idxs, matched_labels, gt_classes):
        labels = torch.full_like(matched_idxs, num_classes)
        if len(gt_classes):
            # Matcher: 1 foreground, 0 background, -1 neither.
            labels = torch.where(matched_labels == 1, gt_classes[matched_idxs], labels)
            labels[matched_labels == -1] = -1
        background = (labels == num_classes).nonzero().flatten()
        totals.append(len(background))
        seed = next(next_seed)
        if 0 <= num_background < len(background):
            generator = torch.Generator().manual_seed(derived_seed(*seed))
            kept = torch.randperm(len(background), generator=generator)[:num_background]
            background = background[kept.to(background.device)]
        foreground = ((labels >= 0) & (labels < num_classes)).nonzero().flatten()
        rows = torch.cat([foreground, background]).sort().values
        return rows, labels[rows]

    return keep


def sample_step(
    gt_classes: torch.Tensor,
    num_background: int,
    num_rois: int,
    positive_fraction: float,
    num_classes: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The RoIs of a picture that a training step sees, as ROIHeads samples them.

    With all background kept and the same random state these are Detectron2's.

    Args:
        gt_classes: (N,) of the RoIs kept.
        num_background: how much background the picture had.
        num_rois: ``MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE``.
        positive_fraction: ``MODEL.ROI_HEADS.POSITIVE_FRACTION``.
        num_classes: K.

    Returns:
        Rows and their weights: 1, or more for background of which more was wanted than kept.
    """
    foreground, background = subsample_labels(gt_classes, num_rois, positive_fraction, num_classes)
    wanted = min(num_background, num_rois - len(foreground))
    weights = torch.ones(len(foreground) + len(background))
    if len(background):
        weights[len(foreground) :] = wanted / len(background)
    return torch.cat([foreground, background]), weights
