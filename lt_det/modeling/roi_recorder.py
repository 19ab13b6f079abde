"""What reaches the box predictors of a detector in training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from lt_det.modeling.box_predictor import LTFastRCNNOutputLayers, box_predictors

__all__ = ["RoIs", "record_rois"]


@dataclass(frozen=True)
class RoIs:
    """The sampled RoIs of a batch of pictures, at one box predictor.

    Args:
        features: (R, D), the classifier's input.
        gt_classes: (R,) in [0, K].
        num_per_image: RoIs of each picture, in order; they sum to R.
    """

    features: torch.Tensor
    gt_classes: torch.Tensor
    num_per_image: Sequence[int]

    def __len__(self) -> int:
        """R."""
        return len(self.gt_classes)

    @property
    def image_of(self) -> torch.Tensor:
        """The number, in the batch, of each RoI's picture, (R,)."""
        numbers = torch.arange(len(self.num_per_image), device=self.gt_classes.device)
        counts = torch.as_tensor(self.num_per_image, device=self.gt_classes.device)
        return numbers.repeat_interleave(counts)

    def split(self, num_images: int) -> tuple[RoIs, RoIs]:
        """Those of the first ``num_images`` pictures, and the rest."""
        first = sum(self.num_per_image[:num_images])
        return (
            RoIs(self.features[:first], self.gt_classes[:first], self.num_per_image[:num_images]),
            RoIs(self.features[first:], self.gt_classes[first:], self.num_per_image[num_images:]),
        )


@contextlib.contextmanager
def record_rois(model: nn.Module) -> Iterator[list[RoIs]]:
    """Inside, a training forward pass of ``model`` leaves its RoIs in the list, and no box loss.

    One entry a box predictor, in order (a cascade has several); a pass appends to the list.
    """
    recorded: list[RoIs] = []
    features: dict[nn.Module, torch.Tensor] = {}

    def keep_features(predictor: nn.Module, args: tuple[torch.Tensor]) -> None:
        features[predictor] = args[0].flatten(1)

    def keep_rois(predictor: LTFastRCNNOutputLayers, proposals: Sequence) -> None:
        kept = features.pop(predictor)
        labels = [kept.new_empty(0, dtype=torch.long), *(p.gt_classes for p in proposals)]
        recorded.append(RoIs(kept, torch.cat(labels), [len(p) for p in proposals]))

    predictors = list(box_predictors(model))
    hooks = [predictor.register_forward_pre_hook(keep_features) for predictor in predictors]
    for predictor in predictors:
        predictor.recorder = keep_rois
    try:
        yield recorded
    finally:
        for hook in hooks:
            hook.remove()
        for predictor in predictors:
            predictor.recorder = None
