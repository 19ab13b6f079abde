"""A small predictor with a feature augmentation, and a step of its training."""

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.structures import Boxes, Instances

from lt_det.modeling import LTFastRCNNOutputLayers

K, D = 4, 6
LABELS = [0, 4, 3, 4, 1, 4, 0]


def predictor_of(cls_loss, augmentation=None):
    predictor = LTFastRCNNOutputLayers(
        ShapeSpec(channels=D),
        box2box_transform=Box2BoxTransform(weights=(10.0, 10.0, 5.0, 5.0)),
        num_classes=K,
        cls_loss=cls_loss,
        feature_augmentation=augmentation,
    )
    torch.nn.init.normal_(predictor.cls_score.weight, generator=torch.Generator().manual_seed(1))
    return predictor


def proposals_of(labels):
    instances = Instances((50, 50))
    instances.gt_classes = torch.tensor(labels, dtype=torch.long)
    corner = torch.arange(2.0 * len(labels)).reshape(-1, 2)
    instances.proposal_boxes = Boxes(torch.cat([corner, corner + 15], dim=1))
    instances.gt_boxes = Boxes(instances.proposal_boxes.tensor + 1)
    return [instances]


def run(predictor, labels=LABELS, features=None):
    features = torch.randn(len(labels), D) if features is None else features
    losses = predictor.losses(predictor(features), proposals_of(labels))
    predictor.zero_grad()
    sum(losses.values()).backward()
    return losses
