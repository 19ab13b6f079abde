"""Which class wins at an RoI: recall of the best foreground class, by group.

AP ranks the detections of each class by themselves. A constant added to all scores of a class
leaves its AP as it is, unless the cap on detections per picture binds, so AP may not show what a
balanced loss changes most: which of two look-alikes comes first at one object. This does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence

import numpy as np
import torch
from detectron2.config import CfgNode
from tabulate import tabulate
from torch import nn

from lt_det.bank.extract_training_set import build_feature_bank
from lt_det.class_stats import GROUP_NAMES
from lt_det.engine.checkpoint import LTCheckpointer
from lt_det.engine.trainer import LTTrainer
from lt_det.modeling.find_predictors import box_predictors
from lt_det.modeling.roi_recorder import RoIs

__all__ = ["recall_by_group", "recall_table"]


def recall_table(cfg: CfgNode, dataset_name: str, checkpoints: Sequence[str]) -> str:
    """Markdown: recall by group of checkpoints that share one frozen body.

    Args:
        cfg: config of the first checkpoint; its loss decides the logit layout.
        dataset_name: annotated data set the RoIs are taken from, sampled as in training.
        checkpoints: stage-2 checkpoints of one stage 1.

    Raises:
        ValueError: if a checkpoint holds no class statistics.
    """
    model = LTTrainer.build_model(cfg)
    checkpointer = LTCheckpointer(model)
    checkpointer.load(checkpoints[0])
    cfg = cfg.clone()
    cfg.defrost()
    cfg.DATASETS.TRAIN, cfg.MODEL.WEIGHTS = (dataset_name,), str(checkpoints[0])
    with tempfile.TemporaryDirectory() as folder:
        bank = build_feature_bank(cfg, model, folder)
        rois = bank.rows(np.arange(len(bank)))
    rows = []
    for path in checkpoints:
        checkpointer.load(path)
        (predictor,) = box_predictors(model)
        stats = predictor.cls_loss.require_class_stats().value()
        groups = stats.groups(cfg.DATASETS.GROUP_THRESHOLDS)
        recall = recall_by_group(predictor.cls_score, rois, groups)
        rows.append([path, *(f"{100 * value:.1f}" for value in recall)])
    headers = ["checkpoint", *(f"{name} recall" for name in GROUP_NAMES)]
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


@torch.no_grad()
def recall_by_group(classifier: nn.Module, rois: RoIs, groups: np.ndarray) -> np.ndarray:
    """Average over classes the share of RoIs whose best foreground class is right, (3,).

    Every class counts once, however many RoIs it has; classes without RoIs are left out.
    Background plays no part. NaN for a group without RoIs.

    Args:
        classifier: features to logits.
        rois: on any device.
        groups: (K,), the group of each class, see :meth:`ClassStats.groups`.
    """
    num_classes = len(groups)
    predicted = classifier(rois.features)[:, :num_classes].argmax(dim=1)
    foreground = rois.gt_classes < num_classes
    right = rois.gt_classes[foreground & (predicted == rois.gt_classes)]
    hits = torch.bincount(right, minlength=num_classes).cpu().numpy()
    total = torch.bincount(rois.gt_classes[foreground], minlength=num_classes).cpu().numpy()
    recall = []
    for group in range(len(GROUP_NAMES)):
        present = (groups == group) & (total > 0)
        recall.append(np.mean(hits[present] / total[present]) if present.any() else np.nan)
    return np.array(recall)
