"""From the same checkpoint, plain losses are stock Detectron2's.

Gradients (first K columns of the classifier for sigmoid) and detections are bit-identical, loss
values agree within 1e-6 relative. A sigmoid classifier without the dead column multiplies matrices
of another shape (K columns, not K + 1), which the matrix library sums in another order: there
everything agrees within float32's rounding.
"""

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetMapper, get_detection_dataset_dicts
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.roi_heads import (
    CascadeROIHeads,
    FastRCNNOutputLayers,
    Res5ROIHeads,
    StandardROIHeads,
)
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from toy_models import choose_heads, spread_classifier

from lt_det.losses import SigmoidLoss, SoftmaxLoss
from lt_det.modeling import LTFastRCNNOutputLayers

CLASSIFIER = "cls_score."
# Detectron2's loss, and for sigmoid whether our classifier keeps its dead column.
KINDS = ["softmax", "sigmoid with a background column", "sigmoid of K columns"]
every_kind = pytest.mark.parametrize("kind", KINDS)


def without_dead_column(state: dict, num_classes: int) -> dict:
    """The classifier's first K rows; everything else as it is."""
    return {k: v[:num_classes] if CLASSIFIER in k else v for k, v in state.items()}


def relative_error(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).abs() / b.abs().clamp(min=1e-30)).item()


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.equal(b)


def same_but_for_rounding(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() <= 1e-5 * b.abs().max())


def comparison(kind: str):
    return same_but_for_rounding if kind == "sigmoid of K columns" else same_bits


def assert_same_gradients(ours, stock, kind: str, num_classes: int) -> None:
    """Of all parameters; of the sigmoid's classifier only the first K rows."""
    same = comparison(kind)
    stock_parameters = dict(stock.named_parameters())
    compared = 0
    for name, parameter in ours.named_parameters():
        a, b = parameter.grad, stock_parameters[name].grad
        assert (a is None) == (b is None), name
        if a is None:
            continue
        if kind != "softmax" and CLASSIFIER in name:
            a, b = a[:num_classes], b[:num_classes]
        assert same(a, b), f"{name}: largest difference {(a - b).abs().max()}"
        compared += 1
    assert compared


# --- the predictor alone -----------------------------------------------------------------------


def predictor_pair(kind: str, num_classes: int, channels: int):
    arguments = {
        "input_shape": ShapeSpec(channels=channels),
        "box2box_transform": Box2BoxTransform(weights=(10.0, 10.0, 5.0, 5.0)),
        "num_classes": num_classes,
        "test_topk_per_image": 300,
    }
    stock = FastRCNNOutputLayers(**arguments, use_sigmoid_ce=kind != "softmax")
    torch.nn.init.normal_(stock.cls_score.weight, std=0.3)
    torch.nn.init.normal_(stock.cls_score.bias)
    dead_column = kind == "sigmoid with a background column"
    loss = (
        SoftmaxLoss(num_classes)
        if kind == "softmax"
        else SigmoidLoss(num_classes, background_column=dead_column)
    )
    ours = LTFastRCNNOutputLayers(**arguments, cls_loss=loss)
    state = stock.state_dict()
    if kind == "sigmoid of K columns":
        state = without_dead_column(state, num_classes)
    result = ours.load_state_dict(state, strict=False)
    assert not result.missing_keys
    assert not result.unexpected_keys
    return ours, stock


def random_proposals(num_classes: int, sizes=(37, 0, 64)):
    proposals = []
    for size in sizes:
        image = Instances((200, 200))
        corner = 100 * torch.rand(size, 2)
        image.proposal_boxes = Boxes(torch.cat([corner, corner + 5 + 60 * torch.rand(size, 2)], 1))
        image.gt_boxes = Boxes(image.proposal_boxes.tensor + torch.rand(size, 4))
        image.gt_classes = torch.randint(num_classes + 1, (size,))
        image.gt_classes[::2] = num_classes
        proposals.append(image)
    return proposals


@every_kind
@pytest.mark.parametrize(("num_classes", "channels"), [(1, 8), (5, 32), (67, 256), (1203, 64)])
def test_predictor_trains_as_stock(kind, num_classes, channels):
    ours, stock = predictor_pair(kind, num_classes, channels)
    proposals = random_proposals(num_classes)
    leaf = torch.randn(101, channels)
    losses, inputs = [], []
    for predictor in (ours, stock):
        inputs.append(leaf.clone().requires_grad_())
        with EventStorage():
            losses.append(predictor.losses(predictor(inputs[-1]), proposals))
        sum(losses[-1].values()).backward()
    assert losses[0].keys() == losses[1].keys()
    for name, value in losses[0].items():
        assert relative_error(value, losses[1][name]) <= 1e-6, name
    assert losses[0]["loss_box_reg"].equal(losses[1]["loss_box_reg"])
    assert_same_gradients(ours, stock, kind, num_classes)
    assert comparison(kind)(inputs[0].grad, inputs[1].grad)


@every_kind
@pytest.mark.parametrize(("num_classes", "channels"), [(1, 8), (5, 32), (67, 256), (1203, 64)])
def test_predictor_detects_as_stock(kind, num_classes, channels):
    ours, stock = (p.eval() for p in predictor_pair(kind, num_classes, channels))
    proposals = random_proposals(num_classes)
    features = torch.randn(101, channels)
    with torch.no_grad():
        results = [p.inference(p(features), proposals) for p in (ours, stock)]
    for a, b in zip(*(instances for instances, _ in results), strict=True):
        if not len(b):
            assert not len(a)
            continue
        assert a.pred_boxes.tensor.equal(b.pred_boxes.tensor)
        assert comparison(kind)(a.scores, b.scores)
        assert a.pred_classes.equal(b.pred_classes)
    assert all(a.equal(b) for a, b in zip(*(kept for _, kept in results), strict=True))
    assert sum(len(instances) for instances in results[0][0])


def test_predictor_logs_as_stock():
    logged = []
    for predictor in predictor_pair("softmax", 5, 32):
        torch.manual_seed(0)
        proposals, features = random_proposals(5), torch.randn(101, 32)
        with EventStorage() as storage:
            predictor.losses(predictor(features), proposals)
            logged.append({name: value for name, (value, _) in storage.latest().items()})
    assert logged[0] == pytest.approx(logged[1], rel=1e-6)


# --- a whole detector --------------------------------------------------------------------------


STOCK_HEADS = {
    "LTStandardROIHeads": StandardROIHeads,
    "LTCascadeROIHeads": CascadeROIHeads,
    "LTRes5ROIHeads": Res5ROIHeads,
}
every_head = pytest.mark.parametrize("heads", STOCK_HEADS)


@pytest.fixture
def heads_cfg(tiny_cfg, heads):
    """The tiny config with the given heads."""
    return choose_heads(tiny_cfg, heads)


def stock_config(cfg: CfgNode, kind: str) -> CfgNode:
    cfg = cfg.clone()
    cfg.MODEL.ROI_HEADS.NAME = STOCK_HEADS[cfg.MODEL.ROI_HEADS.NAME].__name__
    cfg.MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE = kind != "softmax"
    return cfg


def our_config(cfg: CfgNode, kind: str) -> CfgNode:
    cfg = cfg.clone()
    if kind != "softmax":
        cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = "SigmoidLoss"
        cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.SIGMOID.BACKGROUND_COLUMN = kind == KINDS[1]
    return cfg


@pytest.fixture
def detectors(heads_cfg, heads, kind):
    # Without being certain: the features of a ResNet-50 with fresh batch norm in eval mode are in
    # the thousands.
    std = 1e-4 if heads == "LTRes5ROIHeads" else 0.5
    stock = spread_classifier(build_model(stock_config(heads_cfg, kind)), std)
    ours = build_model(our_config(heads_cfg, kind))
    assert type(stock.roi_heads) is STOCK_HEADS[heads]
    assert type(ours.roi_heads).__name__ == heads
    state = stock.state_dict()
    if kind == "sigmoid of K columns":
        state = without_dead_column(state, heads_cfg.MODEL.ROI_HEADS.NUM_CLASSES)
    result = ours.load_state_dict(state, strict=False)
    assert not result.missing_keys
    assert not result.unexpected_keys
    return ours, stock


@pytest.mark.integration
@every_head
@every_kind
def test_detector_trains_as_stock(detectors, kind, tiny_cfg, toy_lvis):
    mapper = DatasetMapper(tiny_cfg, is_train=True)
    torch.manual_seed(0)
    batch = [mapper(record) for record in get_detection_dataset_dicts([toy_lvis.train])[:3]]
    losses = []
    for model in detectors:
        torch.manual_seed(7)  # the heads sample RoIs at random
        with EventStorage():
            losses.append(model.train()(batch))
        sum(losses[-1].values()).backward()
    ours, stock = losses
    assert ours.keys() == stock.keys()
    for name in ours:
        if name.startswith("loss_cls"):
            assert relative_error(ours[name], stock[name]) <= 1e-6
        else:
            assert ours[name].equal(stock[name]), name
    assert_same_gradients(*detectors, kind, toy_lvis.num_classes)
    for (name, a), (_, b) in zip(
        detectors[0].backbone.named_buffers(), detectors[1].backbone.named_buffers(), strict=True
    ):
        assert a.equal(b), name  # running statistics of batch norm too


@pytest.mark.integration
@every_head
@every_kind
def test_detector_detects_as_stock(detectors, kind, tiny_cfg, toy_lvis):
    mapper = DatasetMapper(tiny_cfg, is_train=False)
    batch = [mapper(record) for record in get_detection_dataset_dicts([toy_lvis.val])]
    with torch.no_grad():
        ours, stock = (model.eval()(batch) for model in detectors)
    assert len(ours) == len(stock) == len(batch)
    for a, b in zip(ours, stock, strict=True):
        a, b = a["instances"], b["instances"]
        assert len(a)
        assert a.get_fields().keys() == b.get_fields().keys()
        assert a.pred_boxes.tensor.equal(b.pred_boxes.tensor)
        assert comparison(kind)(a.scores, b.scores)
        for field in ("pred_classes", "pred_masks"):
            assert a.get(field).equal(b.get(field)), field
