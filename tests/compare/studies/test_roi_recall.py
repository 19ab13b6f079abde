"""Recall of the best foreground class, by group, against a count by hand."""

import numpy as np
import torch
from torch import nn

from lt_det.class_stats import ClassStats
from lt_det.compare.studies.roi_recall import recall_by_group
from lt_det.modeling.roi_recorder import RoIs

# Classes 0 and 1 frequent, 2 common without RoIs, 3 rare.
STATS = ClassStats(4, 300, [200, 150, 50, 5], [200, 150, 50, 5])


def rois_of(predicted: list[int], gt_classes: list[int]) -> RoIs:
    """Features that an identity classifier predicts as ``predicted``."""
    features = nn.functional.one_hot(torch.tensor(predicted), 5).float()
    return RoIs(features, torch.tensor(gt_classes), [len(predicted)])


def test_classes_count_once_and_background_not_at_all():
    # Class 0: 1 of 2. Class 1: 3 of 4. Class 3: 0 of 1. The last two rows are background.
    rois = rois_of([0, 1, 1, 1, 1, 0, 0, 3, 0], [0, 0, 1, 1, 1, 1, 3, 4, 4])
    recall = recall_by_group(nn.Identity(), rois, STATS.groups())
    np.testing.assert_allclose(recall, [0.0, np.nan, (1 / 2 + 3 / 4) / 2])


def test_the_background_logit_does_not_compete():
    rois = rois_of([4], [3])
    rois.features[0, 3] = 0.5
    assert recall_by_group(nn.Identity(), rois, STATS.groups())[0] == 1


def test_groups_are_those_of_the_thresholds():
    """With a threshold of 160 images class 1 is no longer frequent."""
    rois = rois_of([0, 1], [0, 1])
    recall = recall_by_group(nn.Identity(), rois, STATS.groups((10, 160)))
    np.testing.assert_allclose(recall, [np.nan, 1.0, 1.0])
