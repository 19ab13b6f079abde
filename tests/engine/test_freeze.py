"""Trainable parameters by glob, and frozen modules in eval mode."""

import pytest
import torch
import torch.nn.functional as F
from detectron2.data import DatasetMapper, get_detection_dataset_dicts
from detectron2.utils.events import EventStorage
from torch import nn
from toy_models import c4_model, cascade_model, pointrend_model, user_model, vitdet_model

from lt_det.engine.freeze import (
    FrozenModulesInEval,
    FrozenProposals,
    freeze_parameters,
    frozen_modules,
)


class Detector(nn.Module):
    """Names like a detector's."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.box_head = nn.ModuleDict(
            {"fc": nn.Linear(4, 4), "norm": nn.BatchNorm1d(4), "drop": nn.Dropout(0.5)}
        )
        self.cls_score = nn.Linear(4, 5)
        self.bbox_pred = nn.Linear(4, 16)


def trainable(model):
    return {name for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(
    ("globs", "expected"),
    [
        (("*",), None),
        (("*cls_score*",), {"cls_score.weight", "cls_score.bias"}),
        (("cls_score.weight",), {"cls_score.weight"}),
        (("cls_score.w*", "bbox_pred.bias"), {"cls_score.weight", "bbox_pred.bias"}),
        (("*.fc.*",), {"box_head.fc.weight", "box_head.fc.bias"}),
        (("cls_scor?.bias",), {"cls_score.bias"}),
    ],
)
def test_globs(globs, expected):
    model = Detector()
    everything = trainable(model)
    freeze_parameters(model, globs)
    assert trainable(model) == (everything if expected is None else expected)


@pytest.mark.parametrize("glob", ["*cls_scores*", "cls_score", "CLS_SCORE.*", ""])
def test_glob_without_a_match_is_named(glob):
    with pytest.raises(ValueError, match="TRAINABLE_PARAMS") as error:
        freeze_parameters(Detector(), ("*bbox_pred*", glob))
    assert repr(glob) in str(error.value)
    assert "backbone.0.weight" in str(error.value)  # what names look like


def test_nothing_to_train_is_refused():
    with pytest.raises(ValueError, match="nothing to train"):
        freeze_parameters(Detector(), ())
    model = Detector()
    model.backbone.requires_grad_(False)
    with pytest.raises(ValueError, match=r"\('backbone\*',\).*nothing to train"):
        freeze_parameters(model, ("backbone*",))


def test_what_the_model_froze_stays_frozen():
    model = Detector()
    model.backbone.requires_grad_(False)
    freeze_parameters(model, ("*",))
    assert not any(name.startswith("backbone") for name in trainable(model))


def modes(model):
    return {name for name, module in model.named_modules() if name and not module.training}


def test_frozen_norm_and_dropout_are_in_eval_mode_in_every_step():
    model = Detector()
    freeze_parameters(model, ("*cls_score*",))
    hook = FrozenModulesInEval(model)
    expected = {"backbone", "backbone.0", "backbone.1", "backbone.2", "bbox_pred"}
    expected |= {"box_head", "box_head.fc", "box_head.norm", "box_head.drop"}
    for _ in range(2):
        model.train()  # as Detectron2's evaluation leaves it
        hook.before_step()
        assert modes(model) == expected


def test_dropout_among_trained_layers_stays_active():
    model = Detector()
    freeze_parameters(model, ("cls_score*", "box_head.fc.*"))
    model.train()
    FrozenModulesInEval(model).before_step()
    # Its norm is frozen, but the layer beside it trains: the dropout is that layer's.
    assert "box_head.norm" in modes(model)
    assert not {"box_head", "box_head.fc", "box_head.drop"} & modes(model)


def test_nothing_changes_without_frozen_parameters():
    model = Detector()
    freeze_parameters(model, ("*",))
    assert frozen_modules(model) == []


def test_modules_inside_a_container_without_parameters_are_found():
    """A dropout in a Sequential of its own, and a norm without affine parameters."""
    model = nn.ModuleDict(
        {
            "head": nn.ModuleDict(
                {
                    "fc": nn.Linear(2, 2),
                    "post": nn.Sequential(nn.ReLU(), nn.Sequential(nn.Dropout(0.5))),
                    "norm": nn.Sequential(nn.BatchNorm1d(2, affine=False)),
                }
            ),
            "cls_score": nn.Linear(2, 2),
        }
    )
    freeze_parameters(model, ("cls_score*",))
    FrozenModulesInEval(model).before_step()
    assert {"head.post.1.0", "head.norm.0"} <= modes(model)


def test_frozen_batch_norm_neither_moves_nor_depends_on_the_batch():
    model = Detector()
    freeze_parameters(model, ("*cls_score*",))
    hook = FrozenModulesInEval(model)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    batch = torch.randn(4, 3, 2, 2)
    model.train()
    hook.before_step()
    together = model.backbone(batch)
    assert together[:1].equal(model.backbone(batch[:1]))
    assert all(v.equal(before[k]) for k, v in model.state_dict().items())


class FunctionalDropout(nn.Module):
    """As third parties write it: nothing tells it from any other layer but its mode."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        return F.dropout(self.fc(x), 0.5, self.training)


def test_a_third_partys_dropout_in_a_frozen_head_is_off():
    model = nn.ModuleDict({"box_head": FunctionalDropout(), "cls_score": nn.Linear(4, 5)})
    freeze_parameters(model, ("cls_score*",))
    features = torch.randn(64, 4)
    model.train()
    assert not model.box_head(features).equal(model.box_head(features))
    FrozenModulesInEval(model).before_step()
    assert model.box_head(features).equal(model.box_head(features))
    assert model.training
    assert model.cls_score.training


@pytest.mark.integration
def test_stochastic_depth_of_a_frozen_vit_is_off(tiny_cfg, toy_lvis):
    """timm's DropPath, in Detectron2's ViTDet; all of the detector that returns losses trains."""
    model = vitdet_model(tiny_cfg, toy_lvis.num_classes, drop_path=0.5)
    images = torch.randn(2, 3, 64, 64)

    def varies():
        with torch.no_grad():
            first, second = model.backbone(images), model.backbone(images)
        return any(not first[name].equal(second[name]) for name in first)

    model.train()
    assert varies()
    freeze_parameters(model, ("*cls_score*",))
    FrozenModulesInEval(model).before_step()
    assert not varies()
    keep = (model, model.proposal_generator, model.roi_heads, model.roi_heads.mask_head)
    assert all(module.training for module in (*keep, model.roi_heads.box_predictor))
    layers = [*model.roi_heads.mask_head.children(), model.roi_heads.box_head, model.backbone]
    assert not any(module.training for layer in layers for module in layer.modules())


@pytest.mark.integration
@pytest.mark.parametrize("build", [user_model, pointrend_model, cascade_model, c4_model])
def test_a_detector_of_others_trains_with_everything_frozen_but_the_classifier(
    tiny_cfg, toy_lvis, build
):
    """Foreign ROI heads run their frozen mask head, which must still return losses."""
    model = build(tiny_cfg, toy_lvis.num_classes).train()
    freeze_parameters(model, ("*cls_score*",))
    hook = FrozenModulesInEval(model)
    mapper = DatasetMapper(tiny_cfg, is_train=True)
    batch = [mapper(r) for r in get_detection_dataset_dicts([toy_lvis.train])[:2]]
    with EventStorage():
        expected = {name for name in model(batch) if not name.startswith("loss_of_theirs")}
        hook.before_step()
        losses = model(batch)
    assert expected <= losses.keys()
    assert "loss_mask" in losses
    assert all(loss.isfinite() for loss in losses.values())
    assert not model.backbone.training


@pytest.mark.integration
@pytest.mark.parametrize("is_frozen", [True, False])
def test_a_frozen_rpn_proposes_as_in_training_without_losses(tiny_cfg, is_frozen):
    from detectron2.modeling import build_model
    from detectron2.structures import Boxes, ImageList, Instances

    tiny_cfg.MODEL.RPN.POST_NMS_TOPK_TRAIN, tiny_cfg.MODEL.RPN.POST_NMS_TOPK_TEST = 30, 7
    model = build_model(tiny_cfg).train()
    rpn = model.proposal_generator
    rpn.requires_grad_(not is_frozen)
    images = ImageList.from_tensors([torch.rand(3, 64, 64)])
    truth = Instances((64, 64), gt_boxes=Boxes(torch.tensor([[5.0, 5, 30, 30]])))
    features = model.backbone(images.tensor)
    hook = FrozenProposals(model)

    def propose():
        with EventStorage():
            proposals, losses = rpn(images, features, [truth])
        return proposals[0].proposal_boxes.tensor, losses

    expected, _ = propose()
    for _ in range(2):  # twice: what is set back is what was there
        hook.before_step()
        found, losses = propose()
        assert found.equal(expected)
        assert len(found) > 7
        assert bool(losses) == (not is_frozen)
        hook.after_step()
        assert rpn.training
        # An evaluation has its own numbers.
        rpn.eval()
        assert len(propose()[0]) == 7
        rpn.train()
