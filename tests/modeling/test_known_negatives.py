"""LVIS's lists of a picture reach the loss."""

import pytest
import torch
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from lt_det.data.loaders import build_train_loader
from lt_det.engine.trainer import LTTrainer
from lt_det.losses import SigmoidLoss
from lt_det.modeling.find_predictors import box_predictors, only_predictor, read_known_negatives
from lt_det.modeling.known_negatives import known_negative_classes
from lt_det.modeling.roi_recorder import record_rois


def picture(present, negative, not_exhaustive, **more):
    lists = {"neg_category_ids": negative, "not_exhaustive_category_ids": not_exhaustive}
    objects = [{"category_id": c} for c in present]
    return {"file_name": "a.png", "annotations": objects, **lists, **more}


def test_known_negative_classes_by_hand():
    """Annotated, listed as absent, and neither where the annotation is not exhaustive."""
    pictures = [
        picture([0, 1, 1], [3], [1]),
        picture([2], [], []),
        picture([], [0, 4], []),
        picture([3], [], [3, 1]),
    ]
    expected = [{0, 3}, {2}, {0, 4}, set()]
    known_negatives = known_negative_classes(pictures, 5)
    assert [set(row.nonzero().flatten().tolist()) for row in known_negatives] == expected


def test_model_inputs_are_read_as_records_are():
    instances = Instances((9, 9), gt_classes=torch.tensor([2, 0]))
    inputs = [picture([], [4], [0], instances=instances), picture([2, 0], [4], [0])]
    assert known_negative_classes(inputs, 5).tolist() == [[False, False, True, False, True]] * 2


def test_crowd_regions_show_no_class():
    crowd = picture([1], [], [])
    crowd["annotations"].append({"category_id": 0, "iscrowd": 1})
    assert known_negative_classes([crowd], 2).tolist() == [[False, True]]


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        ({"file_name": "b.png"}, "b.png has no not_exhaustive_category_ids.*ONLY_KNOWN_NEGATIVES"),
        (picture([], [5], []), r"a.png: expected neg_category_ids .*\[0, 5\).*\[5\]"),
        (picture([], [], [-1]), r"not_exhaustive_category_ids .*\[-1\]"),
    ],
)
def test_bad_lists_are_named(bad, match):
    with pytest.raises(ValueError, match=match):
        known_negative_classes([bad], 5)


@pytest.fixture
def lvis_cfg(tiny_cfg, toy_lvis):
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = "SigmoidLoss"
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.SIGMOID.ONLY_KNOWN_NEGATIVES = True
    tiny_cfg.DATASETS.TRAIN = (toy_lvis.train,)
    return tiny_cfg


def test_the_detector_knows_the_lists_of_its_rois(lvis_cfg):
    """RoI by RoI what a look into the batch says."""
    model = LTTrainer.build_model(lvis_cfg).train()
    batch = next(iter(build_train_loader(lvis_cfg)))
    with EventStorage(), record_rois(model) as recorded:
        model(batch)
    (rois,) = recorded
    assert len(rois) > len(batch)
    expected = known_negative_classes(batch, only_predictor(model).num_classes)
    assert rois.known_negatives.equal(expected[rois.image_of])
    first, rest = rois.split(1)
    assert torch.cat([first.known_negatives, rest.known_negatives]).equal(rois.known_negatives)


def test_losses_see_them(lvis_cfg):
    """A background RoI costs nothing for classes that nobody looked for."""
    model = LTTrainer.build_model(lvis_cfg).train()
    predictor = only_predictor(model)
    num_classes = predictor.num_classes
    predictor.known_negatives = torch.zeros(2, num_classes, dtype=torch.bool)
    predictor.known_negatives[1, 3] = True
    proposals = []
    for label in (0, num_classes):
        proposal = Instances((9, 9), gt_classes=torch.tensor([label]))
        proposal.proposal_boxes = proposal.gt_boxes = Boxes(torch.tensor([[0.0, 0, 5, 5]]))
        proposals.append(proposal)
    logits = torch.zeros(2, num_classes, requires_grad=True)
    with EventStorage():
        losses = predictor.losses((logits, torch.zeros(2, 4 * num_classes)), proposals)
    losses["loss_cls"].backward()
    expected = torch.zeros(2, num_classes)
    expected[0, 0], expected[1, 3] = -0.25, 0.25
    torch.testing.assert_close(logits.grad, expected)


def test_without_the_hook_the_loss_says_what_is_missing():
    with pytest.raises(
        ValueError, match=r"SigmoidLoss.*`only_known_negatives`.*read_known_negatives"
    ):
        SigmoidLoss(2, only_known_negatives=True).draw_mask(torch.tensor([0]))


def test_a_loss_that_needs_none_reads_none(lvis_cfg):
    lvis_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.SIGMOID.ONLY_KNOWN_NEGATIVES = False
    model = LTTrainer.build_model(lvis_cfg).train()
    read_known_negatives(model)
    with EventStorage(), record_rois(model) as recorded:
        batch = [
            {k: v for k, v in record.items() if not k.endswith("category_ids")}
            for record in next(iter(build_train_loader(lvis_cfg)))
        ]
        model(batch)
    assert recorded[0].known_negatives is None


@pytest.mark.parametrize("heads", ["LTStandardROIHeads", "LTCascadeROIHeads"])
def test_the_lists_change_the_loss_of_every_stage(lvis_cfg, heads):
    lvis_cfg.MODEL.ROI_HEADS.NAME = heads
    lvis_cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG = True
    model = LTTrainer.build_model(lvis_cfg).train()
    batch = next(iter(build_train_loader(lvis_cfg)))
    losses = []
    for only_known_negatives in (True, False):
        for predictor in box_predictors(model):
            predictor.cls_loss.only_known_negatives = only_known_negatives
        with EventStorage():
            torch.manual_seed(0)
            losses.append({n: v.item() for n, v in model(batch).items() if "loss_cls" in n})
    few, all_ = losses
    assert len(few) == (3 if "Cascade" in heads else 1)
    # Few of the five classes are known in an image: fewer negatives cost less.
    assert all(0 < few[name] < all_[name] for name in all_ if "rpn" not in name)
