"""``install_box_predictor`` on PyPI's CenterNet2: with the plain loss its detections stay.

``pip install --no-deps centernet2``; skipped where it is not there.
"""

import copy
import warnings

import pytest
import torch
from detectron2.modeling import build_model
from toy_models import spread_classifier

from lt_det.losses import SoftmaxLoss
from lt_det.modeling import LTFastRCNNOutputLayers, install_box_predictor
from lt_det.modeling.find_predictors import box_predictors

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    centernet = pytest.importorskip("centernet", reason="needs PyPI's centernet2")

pytestmark = pytest.mark.integration


@pytest.fixture(params=["CustomROIHeads", "CustomCascadeROIHeads"])
def model(request, tiny_cfg):
    """A small CenterNet2 whose detections count with their proposals' scores."""
    from centernet.config import add_centernet_config

    add_centernet_config(tiny_cfg)
    settings = tiny_cfg.MODEL
    settings.ROI_HEADS.NAME = request.param
    settings.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG = True
    settings.ROI_BOX_HEAD.MULT_PROPOSAL_SCORE = True
    settings.PROPOSAL_GENERATOR.NAME = "CenterNet"
    settings.CENTERNET.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
    settings.CENTERNET.FPN_STRIDES = [4, 8, 16, 32, 64]
    settings.CENTERNET.NUM_CLASSES = settings.ROI_HEADS.NUM_CLASSES
    settings.CENTERNET.WITH_AGN_HM = settings.CENTERNET.ONLY_PROPOSAL = True
    settings.CENTERNET.INFERENCE_TH = 0.0
    settings.CENTERNET.NUM_BOX_CONVS = settings.CENTERNET.NUM_CLS_CONVS = 1
    settings.CENTERNET.NORM = ""
    torch.manual_seed(0)
    return spread_classifier(build_model(tiny_cfg), std=0.1).eval()


def detections_of(model):
    torch.manual_seed(1)
    images = [{"image": torch.randint(256, (3, 64, 64)).float()} for _ in range(2)]
    with torch.no_grad():
        return [output["instances"] for output in model(images)]


def test_detections_stay_to_the_bit(model, tiny_cfg):
    expected = detections_of(model)
    ours = copy.deepcopy(model)
    install_box_predictor(ours, cls_loss=SoftmaxLoss(tiny_cfg.MODEL.ROI_HEADS.NUM_CLASSES))
    predictors = list(box_predictors(ours))
    assert len(predictors) == (3 if "Cascade" in tiny_cfg.MODEL.ROI_HEADS.NAME else 1)
    assert all(type(p).__name__ == "LTCustomFastRCNNOutputLayers" for p in predictors)
    assert all(isinstance(p, LTFastRCNNOutputLayers) for p in predictors)
    for a, b in zip(detections_of(ours.eval()), expected, strict=True):
        assert len(b)
        assert a.scores.equal(b.scores)
        assert a.pred_boxes.tensor.equal(b.pred_boxes.tensor)
        assert a.pred_classes.equal(b.pred_classes)


def test_scores_are_those_of_classes_and_proposals_together(model, tiny_cfg):
    """Without the factor they would be others: the test above sees it."""
    with_factor = detections_of(model)[0].scores
    model.roi_heads.mult_proposal_score = False
    tiny_cfg.MODEL.ROI_BOX_HEAD.MULT_PROPOSAL_SCORE = False
    without = detections_of(model)[0].scores
    assert with_factor[:3].tolist() != pytest.approx(without[:3].tolist())
