"""A bilevel step on rows of a weight is the step on as many copies of them."""

import copy
import dataclasses

import pytest
import torch
from bilevel_problems import D, K
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform

from lt_det.data.meta_plan import GroupedImages, MetaBatchPlan
from lt_det.engine.bilevel.methods import MetaReweighter, MetaSampler
from lt_det.engine.bilevel.step import MetaStep
from lt_det.losses import BalancedSoftmaxLoss, EQLv2Loss, SeesawLoss
from lt_det.modeling.box_predictor import LTFastRCNNOutputLayers
from lt_det.modeling.roi_recorder import RoIs

IMAGE_CLASSES = [[0], [1, 2], [3], [0, 3]]
PER_IMAGE = 6


def rois_of(image_classes) -> RoIs:
    """Of each image its classes and the background, in rows that stand for 0 to 4 RoIs."""
    labels = [([*classes, K] * PER_IMAGE)[:PER_IMAGE] for classes in image_classes]
    labels = torch.tensor(labels).flatten()
    features = torch.randn(len(labels), D, dtype=torch.float64)
    weights = torch.randint(5, (len(labels),)).double()
    return RoIs(features, labels, [PER_IMAGE] * len(image_classes), weights)


def copies_of(rois: RoIs) -> RoIs:
    copies = rois.weights.long()
    rows = torch.arange(len(rois)).repeat_interleave(copies)
    numbers = copies.reshape(-1, PER_IMAGE).sum(dim=1).tolist()
    return dataclasses.replace(
        rois,
        features=rois.features[rows],
        gt_classes=rois.gt_classes[rows],
        num_per_image=numbers,
        weights=None,
    )


def predictor_of(loss) -> LTFastRCNNOutputLayers:
    predictor = LTFastRCNNOutputLayers(
        ShapeSpec(channels=D),
        num_classes=K,
        cls_loss=loss,
        box2box_transform=Box2BoxTransform(weights=(10, 10, 5, 5)),
    ).double()
    torch.nn.init.normal_(predictor.cls_score.weight)
    return predictor


def plan_of() -> MetaBatchPlan:
    return MetaBatchPlan(GroupedImages(IMAGE_CLASSES, torch.ones(4), None, K), 4, K, seed=0, lag=1)


METHODS = {
    "MetaReweighter": lambda: MetaReweighter(K),
    "MetaReweighter of the paper": lambda: MetaReweighter(K, normalized=False),
    "MetaSampler": lambda: MetaSampler(plan_of()),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("loss_class", [BalancedSoftmaxLoss, EQLv2Loss, SeesawLoss])
def test_a_step_on_weights_is_one_on_copies(loss_class, method, class_stats, event_storage):
    places = next(iter(plan_of()))
    train = [rois_of([IMAGE_CLASSES[place.index] for place in places]) for _ in range(2)]
    meta = rois_of(IMAGE_CLASSES)
    first = predictor_of(loss_class(K, class_stats))
    ends = []
    for change in (lambda rois: rois, copies_of):
        predictor = copy.deepcopy(first)
        optimizer = torch.optim.SGD(predictor.cls_score.parameters(), lr=0.1)
        step = MetaStep([predictor], optimizer, METHODS[method]())
        values = []
        for number, rois in enumerate(train):
            batch = [{"place": place} for place in places]
            losses, outer = step.look_ahead([change(rois)], [change(meta)], batch)
            values += [losses["loss_cls"], outer, step.phi.grad.clone()]
            step.commit(number)
        ends.append([*values, step.phi, *predictor.state_dict().values()])
    for actual, expected in zip(*ends, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-14)
