"""The training accuracy that Detectron2 logs."""

from __future__ import annotations

import torch
from detectron2.utils.events import get_event_storage

from lt_det.losses import BoxClsLoss

__all__ = ["log_accuracy"]


def log_accuracy(cls_loss: BoxClsLoss, logits: torch.Tensor, gt_classes: torch.Tensor) -> None:
    """Training accuracy under Detectron2's names, for any logit layout.

    Without a background column (C = K) nothing can be predicted as background, so only the
    accuracy on foreground RoIs has a meaning.
    """
    if not len(gt_classes):
        return
    storage = get_event_storage()
    num_classes = cls_loss.num_classes
    # Of more than K + 1 logits the largest says nothing; of fewer, it has the largest probability.
    is_wide = logits.shape[1] > num_classes + 1
    predicted = (cls_loss.predict_probs(logits) if is_wide else logits).argmax(dim=1)
    foreground = gt_classes < num_classes
    num_foreground = int(foreground.sum())
    correct = predicted == gt_classes
    if logits.shape[1] > num_classes:
        storage.put_scalar("fast_rcnn/cls_accuracy", float(correct.float().mean()))
    if num_foreground:
        accuracy = float(correct[foreground].float().mean())
        storage.put_scalar("fast_rcnn/fg_cls_accuracy", accuracy)
        if logits.shape[1] > num_classes:
            missed = float((predicted[foreground] == num_classes).float().mean())
            storage.put_scalar("fast_rcnn/false_negative", missed)
