"""A small box predictor for any loss, proposals with given labels, and a step of its training."""

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.structures import Boxes, Instances

from lt_det.losses import BalancedSigmoidLoss, BalancedSoftmaxLoss, SigmoidLoss, SoftmaxLoss
from lt_det.modeling import LTFastRCNNOutputLayers

K, D = 4, 6
LOSSES = [SoftmaxLoss, SigmoidLoss, BalancedSoftmaxLoss, BalancedSigmoidLoss]
every_loss = pytest.mark.parametrize("loss_class", LOSSES, ids=lambda cls: cls.__name__)


def predictor_of(loss, **kwargs) -> LTFastRCNNOutputLayers:
    """By the plain constructor, as a LazyConfig would."""
    return LTFastRCNNOutputLayers(
        ShapeSpec(channels=D),
        box2box_transform=Box2BoxTransform(weights=(10.0, 10.0, 5.0, 5.0)),
        num_classes=loss.num_classes,
        cls_loss=loss,
        **kwargs,
    )


def proposals_of(*labels, gt_boxes=True):
    """One image for each list of labels."""
    proposals = []
    for classes in labels:
        image = Instances((50, 50))
        corner = 20 * torch.rand(len(classes), 2)
        image.proposal_boxes = Boxes(torch.cat([corner, corner + 15], dim=1))
        image.gt_classes = torch.tensor(classes, dtype=torch.long)
        if gt_boxes:
            image.gt_boxes = Boxes(image.proposal_boxes.tensor + 1)
        proposals.append(image)
    return proposals


def run(predictor, proposals, features=None):
    """Losses and their gradients of an ordinary training step."""
    if features is None:
        features = torch.randn(sum(map(len, proposals)), D)
    losses = predictor.losses(predictor(features), proposals)
    predictor.zero_grad()
    sum(losses.values()).backward()
    return losses
