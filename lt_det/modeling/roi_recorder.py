"""What reaches the box predictors of a detector in training."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from detectron2.structures import Instances
from torch import nn

from lt_det.modeling.box_predictor import LTFastRCNNOutputLayers
from lt_det.modeling.find_predictors import box_predictors
from lt_det.modeling.known_negatives import per_roi

__all__ = ["RoIs", "record_proposals", "record_rois"]


@dataclass(frozen=True)
class RoIs:
    """The sampled RoIs of a batch of pictures, at one box predictor.

    Args:
        features: (R, D), the classifier's input.
        gt_classes: (R,) in [0, K].
        num_per_image: RoIs of each picture, in order; they sum to R.
        weights: (R,), how many RoIs each stands for in the loss; None is one each.
        boxes: (R, 4), of the proposals, in pixels of the network's input; None where not recorded.
        known_negatives: (R, K) bool, see :meth:`BoxClsLoss.draw_mask`; None where not known.
    """

    features: torch.Tensor
    gt_classes: torch.Tensor
    num_per_image: Sequence[int]
    weights: torch.Tensor | None = None
    boxes: torch.Tensor | None = None
    known_negatives: torch.Tensor | None = None

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
            self._part(slice(first), slice(num_images)),
            self._part(slice(first, None), slice(num_images, None)),
        )

    @property
    def num_rois(self) -> torch.Tensor:
        """How many RoIs they stand for, (): R without weights."""
        if self.weights is None:
            return torch.tensor(float(len(self)), device=self.gt_classes.device)
        return self.weights.sum()

    def _part(self, rois: slice, images: slice) -> RoIs:
        optional = (self.weights, self.boxes, self.known_negatives)
        optional = (t if t is None else t[rois] for t in optional)
        numbers = self.num_per_image[images]
        return RoIs(self.features[rois], self.gt_classes[rois], numbers, *optional)


@contextlib.contextmanager
def record_rois(model: nn.Module) -> Iterator[list[RoIs]]:
    """Inside, a training forward pass of ``model`` leaves its RoIs in the list, and no box loss.

    One entry a box predictor, in order (a cascade has several); a pass appends to the list.
    """
    recorded: list[RoIs] = []
    features: dict[nn.Module, torch.Tensor] = {}

    # Of the classifier, because a predictor's own forward may change them before.
    def keep_features(predictor: nn.Module, _, args: tuple[torch.Tensor]) -> None:
        features[predictor] = args[0].flatten(1)

    def keep_rois(predictor: LTFastRCNNOutputLayers, proposals: Sequence) -> None:
        kept = features.pop(predictor)
        labels = [kept.new_empty(0, dtype=torch.long), *(p.gt_classes for p in proposals)]
        boxes = [kept.new_empty(0, 4), *(p.proposal_boxes.tensor for p in proposals)]
        numbers = [len(p) for p in proposals]
        known_negatives = per_roi(predictor.known_negatives, numbers)
        recorded.append(
            RoIs(
                kept,
                torch.cat(labels),
                numbers,
                boxes=torch.cat(boxes),
                known_negatives=known_negatives,
            )
        )

    predictors = list(box_predictors(model))
    hooks = [
        predictor.cls_score.register_forward_pre_hook(functools.partial(keep_features, predictor))
        for predictor in predictors
    ]
    for predictor in predictors:
        predictor.recorder = keep_rois
    try:
        yield recorded
    finally:
        for hook in hooks:
            hook.remove()
        for predictor in predictors:
            predictor.recorder = None


@contextlib.contextmanager
def record_proposals(predictor: LTFastRCNNOutputLayers) -> Iterator[list]:
    """Inside, an evaluation leaves what reaches ``predictor``, which detects nothing.

    A pass appends features (R, D) and the pictures' proposals.
    """
    recorded: list[tuple[torch.Tensor, list[Instances]]] = []
    features = []

    def keep(predictions: tuple, proposals: list[Instances]) -> tuple[list[Instances], list]:
        recorded.append((features.pop().flatten(1), proposals))
        nothing = [_no_detections(p) for p in proposals]
        return nothing, [n.pred_classes for n in nothing]

    hook = predictor.register_forward_pre_hook(lambda _, args: features.append(args[0]))
    predictor.inference = keep
    try:
        yield recorded
    finally:
        hook.remove()
        del predictor.inference


def _no_detections(proposals: Instances) -> Instances:
    boxes = proposals.proposal_boxes[:0]
    scores = boxes.tensor.new_empty(0)
    return Instances(
        proposals.image_size, pred_boxes=boxes, scores=scores, pred_classes=scores.long()
    )
