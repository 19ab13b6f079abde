"""From one seed a model has the initial weights that it has without lt_det."""

import pytest
import torch
from contract import every_loss
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.proposal_generator import build_proposal_generator
from detectron2.modeling.roi_heads import FastRCNNOutputLayers, build_roi_heads
from detectron2.structures import BitMasks, Boxes, ImageList, Instances
from detectron2.utils.events import EventStorage
from toy_models import choose_heads

from lt_det.config import add_lt_det_config
from lt_det.losses import SigmoidLoss, SoftmaxLoss
from lt_det.modeling import (
    CosineClassifier,
    LTFastRCNNOutputLayers,
    install_box_predictor,
)
from lt_det.modeling.find_predictors import box_predictors
from lt_det.utils.seeding import own_draws

HEADS = ["StandardROIHeads", "CascadeROIHeads", "Res5ROIHeads"]
every_heads = pytest.mark.parametrize("heads", HEADS)


def built(cfg, heads, seed=7) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Parameters and buffers of a model of a seed, and a number that is drawn after it."""
    cfg = choose_heads(cfg.clone(), heads)
    torch.manual_seed(seed)
    state = {k: v for k, v in build_model(cfg).state_dict().items() if "cls_loss" not in k}
    return state, torch.rand(3)


@pytest.mark.integration
@every_heads
def test_the_plain_loss_has_every_weight_of_stock(tiny_cfg, heads):
    expected, after = built(tiny_cfg, heads)
    actual, after_ours = built(tiny_cfg, f"LT{heads}")
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert actual[name].equal(value), name
    assert after_ours.equal(after)


@pytest.mark.integration
@every_loss
def test_every_other_module_has_stocks_weights_under_every_loss(tiny_cfg, cls):
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = cls.__name__
    expected, after = built(tiny_cfg, "CascadeROIHeads")
    actual, after_ours = built(tiny_cfg, "LTCascadeROIHeads")
    for name, value in expected.items():
        assert "cls_score" in name or actual[name].equal(value), name
    assert after_ours.equal(after)


@pytest.mark.integration
@every_heads
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.ROI_BOX_HEAD.CLASSIFIER.NAME", "CosineClassifier"),
        ("MODEL.ROI_BOX_HEAD.CLASSIFIER.NAME", "DisAlignClassifier"),
        ("MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION.NAME", "FeatureMemoryAugmentation"),
        ("MODEL.ROI_MASK_HEAD.NAME", "NormedMaskRCNNConvUpsampleHead"),
    ],
)
def test_every_other_module_has_stocks_weights_beside_every_part(tiny_cfg, heads, key, value):
    expected, after = built(tiny_cfg, heads)
    tiny_cfg.merge_from_list([key, value])
    actual, after_ours = built(tiny_cfg, f"LT{heads}")
    for name, stock in expected.items():
        is_ours = "cls_score" in name or ("Normed" in value and "mask_head.predictor" in name)
        assert is_ours or actual[name].equal(stock), name
    assert after_ours.equal(after)


@pytest.mark.integration
@every_heads
def test_another_seed_draws_other_classifiers(tiny_cfg, heads):
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = "SigmoidLoss"
    first, _ = built(tiny_cfg, f"LT{heads}", seed=1)
    again, _ = built(tiny_cfg, f"LT{heads}", seed=1)
    other, _ = built(tiny_cfg, f"LT{heads}", seed=2)
    names = [name for name in first if name.endswith("cls_score.weight")]
    assert len(names) == (3 if heads == "CascadeROIHeads" else 1)
    for name in names:
        assert first[name].equal(again[name])
        assert not first[name].equal(other[name])
    # Stages do not share their draws.
    assert len({first[name].sum().item() for name in names}) == len(names)


@pytest.mark.integration
def test_installing_draws_nothing(tiny_cfg):
    for parts in (
        {"cls_loss": SigmoidLoss(5)},
        {"cls_loss": SoftmaxLoss(5), "classifier": CosineClassifier(32, 6)},
    ):
        model = build_model(choose_heads(tiny_cfg.clone(), "CascadeROIHeads"))
        torch.manual_seed(3)
        expected = torch.rand(3)
        torch.manual_seed(3)
        install_box_predictor(model, **parts)
        assert torch.rand(3).equal(expected)
        stages = {p.cls_score.weight.sum().item() for p in box_predictors(model)}
        # Of one that is given each has a copy.
        assert len(stages) == (1 if "classifier" in parts else 3)


def test_own_draws_are_of_the_seed_and_of_the_place():
    torch.manual_seed(5)
    with own_draws():
        first, nested = torch.rand(2), None
        with own_draws():
            nested = torch.rand(2)
    with own_draws():
        same_place = torch.rand(2)
    outside = torch.rand(2)
    with own_draws():
        later = torch.rand(2)
    torch.manual_seed(5)
    assert torch.rand(2).equal(outside)
    assert same_place.equal(first)
    assert len({t.sum().item() for t in (first, nested, outside, later)}) == 4


# --- the values of Detectron2's own tests --------------------------------------------------------


@pytest.mark.parametrize("cls", [FastRCNNOutputLayers, LTFastRCNNOutputLayers])
def test_the_values_of_detectron2s_test_of_the_predictor(cls):
    """Those of tests/modeling/test_fast_rcnn.py."""
    torch.manual_seed(132)
    ours = {"cls_loss": SoftmaxLoss(5)} if cls is LTFastRCNNOutputLayers else {}
    predictor = cls(
        ShapeSpec(channels=8),
        box2box_transform=Box2BoxTransform(weights=(10, 10, 5, 5)),
        num_classes=5,
        **ours,
    )
    predictions = predictor(torch.rand(2, 8))
    proposals = Instances((10, 10))
    proposals.proposal_boxes = Boxes(torch.tensor([[0.8, 1.1, 3.2, 2.8], [2.3, 2.5, 7, 8]]))
    proposals.gt_boxes = Boxes(torch.tensor([[1.0, 1, 3, 3], [2, 2, 6, 6]]))
    proposals.gt_classes = torch.tensor([1, 2])
    with EventStorage():
        losses = predictor.losses(predictions, [proposals])
    assert losses["loss_cls"].item() == pytest.approx(1.7951188087, rel=1e-6)
    assert losses["loss_box_reg"].item() == pytest.approx(4.0357131958, rel=1e-6)


def targets_of(shape, *images) -> list[Instances]:
    targets = []
    for classes, boxes in images:
        target = Instances(shape)
        target.gt_boxes, target.gt_classes = Boxes(torch.tensor(boxes)), torch.tensor(classes)
        target.gt_masks = BitMasks(torch.rand((2, *shape)) > 0.5)
        targets.append(target)
    return targets


@pytest.mark.integration
@pytest.mark.parametrize("heads", ["StandardROIHeads", "LTStandardROIHeads"])
def test_the_values_of_detectron2s_test_of_the_roi_heads(heads):
    """Those of tests/modeling/test_roi_heads.py."""
    torch.manual_seed(121)
    cfg = get_cfg()
    add_lt_det_config(cfg)
    cfg.DATASETS.TRAIN = ()
    box_head = cfg.MODEL.ROI_BOX_HEAD
    box_head.NAME, box_head.NUM_FC, box_head.POOLER_TYPE = "FastRCNNConvFCHead", 2, "ROIAlignV2"
    box_head.BBOX_REG_WEIGHTS = (10, 10, 5, 5)
    cfg.MODEL.MASK_ON, cfg.MODEL.ROI_HEADS.NAME = True, heads
    images = ImageList(torch.rand(2, 20, 30), [(10, 10), (20, 30)])
    features = {"res4": torch.rand(2, 1024, 1, 2)}
    shapes = {"res4": ShapeSpec(channels=1024, stride=16)}
    targets = targets_of(
        (15, 15),
        ([2, 1], [[1.0, 1, 3, 3], [2, 2, 6, 6]]),
        ([1, 2], [[1.0, 5, 2, 8], [7, 3, 10, 5]]),
    )
    rpn, roi_heads = build_proposal_generator(cfg, shapes), build_roi_heads(cfg, shapes)
    with EventStorage():
        proposals, losses = rpn(images, features, targets)
        losses.update(roi_heads(images, features, proposals, targets)[1])
    expected = {
        "loss_cls": 4.5253729820251465,
        "loss_box_reg": 0.009785720147192478,
        "loss_mask": 0.693184494972229,
        "loss_rpn_cls": 0.08186662942171097,
        "loss_rpn_loc": 0.1104838103055954,
    }
    assert {name: value.item() for name, value in losses.items()} == pytest.approx(expected)
