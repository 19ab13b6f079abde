"""Every registered loss trains under the Meta Sampler."""

import copy
import itertools

import pytest
import torch
from bilevel_problems import D, K
from contract import every_loss
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.utils.events import EventStorage

from lt_det.data.meta_plan import GroupedImages, MetaBatchPlan
from lt_det.engine.bilevel.methods import MetaSampler
from lt_det.engine.bilevel.step import MetaStep
from lt_det.modeling.box_predictor import LTFastRCNNOutputLayers
from lt_det.modeling.roi_recorder import RoIs

LR = 0.1
# Every class in a picture, some in two.
IMAGE_CLASSES = [[0], [1, 2], [3], [0, 3]]
PER_IMAGE = 5


def predictor_of(loss):
    predictor = LTFastRCNNOutputLayers(
        ShapeSpec(channels=D),
        num_classes=K,
        cls_loss=loss,
        box2box_transform=Box2BoxTransform(weights=(10, 10, 5, 5)),
    ).double()
    torch.nn.init.normal_(predictor.cls_score.weight)
    return predictor


def rois_of(image_classes) -> RoIs:
    """Of each picture: one RoI of its first class, four of the background and its others."""
    labels = [
        label
        for classes in image_classes
        for label in itertools.islice(itertools.cycle([*classes, K]), PER_IMAGE)
    ]
    features = torch.randn(len(labels), D, dtype=torch.float64)
    return RoIs(features, torch.tensor(labels), [PER_IMAGE] * len(image_classes))


@every_loss
def test_one_step_moves_the_rates_the_classifier_and_the_statistics(cls, class_stats):
    torch.manual_seed(0)
    predictor = predictor_of(cls(K, class_stats))
    optimizer = torch.optim.SGD(predictor.cls_score.parameters(), lr=LR)
    plan = MetaBatchPlan(GroupedImages(IMAGE_CLASSES, torch.ones(4), None, K), 4, K, seed=0, lag=1)
    places = next(iter(plan))
    train = rois_of([IMAGE_CLASSES[place.index] for place in places])
    meta = rois_of(IMAGE_CLASSES)
    try:
        predictor.cls_loss.plain()
        outer_loss = "plain"
    except ValueError:
        outer_loss = "balanced"
    step = MetaStep([predictor], optimizer, MetaSampler(plan), outer_loss=outer_loss)
    expected = one_plain_step(predictor, train)

    torch.manual_seed(1)
    with EventStorage():
        _, outer = step.look_ahead([train], [meta], [{"place": place} for place in places])
        gradient = step.phi.grad.clone()
        step.commit(0)

    assert outer.isfinite()
    assert gradient.isfinite().all()
    assert (gradient != 0).any()
    # Adam's first step is of its learning rate, against the gradient's sign.
    moved = gradient != 0
    torch.testing.assert_close(step.phi[moved], -0.01 * gradient[moved].sign(), rtol=1e-3, atol=0)
    # Pictures are drawn by the rates, and the step on them is the plain one.
    actual = predictor.state_dict()
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, rtol=1e-9, atol=1e-12, msg=name)


def one_plain_step(predictor, rois) -> dict[str, torch.Tensor]:
    """What a step without rates would leave, statistics included."""
    predictor = copy.deepcopy(predictor)
    torch.manual_seed(1)
    logits = predictor.cls_score(rois.features)
    with EventStorage():
        loss = predictor.classification_loss(logits, rois.gt_classes)
    loss.backward()
    with torch.no_grad():
        for parameter in predictor.cls_score.parameters():
            parameter -= LR * parameter.grad
    return predictor.state_dict()


@pytest.mark.parametrize("image_classes", [[[]], [[0]]])
@every_loss
def test_a_batch_of_one_picture_is_finite(cls, image_classes, class_stats):
    """Background alone, or one object."""
    predictor = predictor_of(cls(K, class_stats))
    rois = rois_of(image_classes)
    with EventStorage():
        loss = predictor.classification_loss(predictor.cls_score(rois.features), rois.gt_classes)
    loss.backward()
    assert predictor.cls_score.weight.grad.isfinite().all()
