"""The training accuracy that Detectron2 logs."""

from __future__ import annotations

import torch
from detectron2.utils.events import get_event_storage

from lt_det.losses import BoxClsLoss
from lt_det.losses.weighted_rows import ones_or

__all__ = ["log_accuracy"]


def log_accuracy(
    cls_loss: BoxClsLoss,
    logits: torch.Tensor,
    gt_classes: torch.Tensor,
    weights: torch.Tensor | None = None,
) -> None:
    """Log the training accuracy under Detectron2's names, for any logit layout.

    Without a background column (C = K) nothing can be predicted as background, so only the
    accuracy on foreground RoIs has a meaning.

    Args:
        cls_loss: the loss that the logits are of.
        logits: (R, C).
        gt_classes: (R,) in [0, K].
        weights: (R,), how many RoIs each row stands for; None is one each.
    """
    if not len(gt_classes):
        return
    storage = get_event_storage()
    num_classes = cls_loss.num_classes
    # Of more than K + 1 logits the largest says nothing; of fewer, it has the largest probability.
    is_wide = logits.shape[1] > num_classes + 1
    predicted = (cls_loss.predict_probs(logits) if is_wide else logits).argmax(dim=1)
    has_background = logits.shape[1] > num_classes
    number = ones_or(weights, gt_classes)
    foreground = number * (gt_classes < num_classes)
    correct = predicted == gt_classes
    if has_background and number.any():
        storage.put_scalar("fast_rcnn/cls_accuracy", _share(correct, number))
    if foreground.any():
        storage.put_scalar("fast_rcnn/fg_cls_accuracy", _share(correct, foreground))
        if has_background:
            missed = predicted == num_classes
            storage.put_scalar("fast_rcnn/false_negative", _share(missed, foreground))


def _share(rows: torch.Tensor, number: torch.Tensor) -> float:
    """Divide the RoIs that ``rows`` (R,) bool stand for by all; ``number`` (R,) of each row."""
    return float((rows * number).sum() / number.sum())
