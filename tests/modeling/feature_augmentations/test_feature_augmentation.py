"""Rows beside the RoIs: what they add to the loss and to gradients, and the config's say."""

import pytest
import torch
import torch.nn.functional as F
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from toy_augmentations import LABELS, D, K, predictor_of, proposals_of, run

from lt_det.config import add_lt_det_config, check_config
from lt_det.losses import SigmoidLoss, SoftmaxLoss
from lt_det.modeling.feature_augmentations.base import AugmentedRows, FeatureAugmentation
from lt_det.modeling.find_predictors import box_predictors


class ConstantRows(FeatureAugmentation):
    """The same two rows every step."""

    def __init__(self, as_rois=False):
        super().__init__(K, D)
        weights = torch.tensor([2.0, 0.5])
        self.rows = AugmentedRows(torch.randn(2, D), torch.tensor([3, 1]), weights, as_rois)
        self.seen, self.given_back = [], None

    def observe(self, features, gt_classes, own_probs):
        self.seen.append((features, gt_classes, own_probs))

    def generate(self, class_stats, generator):
        return self.rows

    def feedback(self, gt_classes, own_probs):
        self.given_back = own_probs


# --- the seam ----------------------------------------------------------------------------------


@pytest.mark.parametrize("as_rois", [False, True])
def test_what_rows_add_by_hand(event_storage, as_rois):
    augmentation = ConstantRows(as_rois)
    predictor = predictor_of(SoftmaxLoss(K), augmentation)
    features = torch.randn(7, D)
    loss = run(predictor, features=features)["loss_cls"]
    rows = augmentation.rows
    own = F.cross_entropy(predictor.cls_score(features), torch.tensor(LABELS), reduction="sum")
    theirs = F.cross_entropy(predictor.cls_score(rows.features), rows.gt_classes, reduction="none")
    added = 2.0 * theirs[0] + 0.5 * theirs[1]
    expected = (own + added) / (7 + 2.5) if as_rois else own / 7 + added
    torch.testing.assert_close(loss, expected)


def test_it_sees_the_foreground_and_how_rows_fare(event_storage):
    augmentation = ConstantRows()
    predictor = predictor_of(SoftmaxLoss(K), augmentation)
    features = torch.randn(7, D, requires_grad=True)
    run(predictor, features=features)
    ((seen, classes, probs),) = augmentation.seen
    assert classes.tolist() == [0, 3, 1, 0]
    assert seen.equal(features.detach()[[0, 2, 4, 6]])
    assert not seen.requires_grad
    expected = predictor.cls_score(features).softmax(dim=1)
    torch.testing.assert_close(probs, expected[[0, 2, 4, 6], classes].detach())
    expected = predictor.cls_score(augmentation.rows.features).softmax(dim=1)
    torch.testing.assert_close(augmentation.given_back, expected[[0, 1], [3, 1]].detach())


@pytest.mark.parametrize("as_rois", [False, True])
def test_gradients_are_those_of_the_sum_and_reach_no_feature(event_storage, as_rois):
    augmentation = ConstantRows(as_rois)
    predictor = predictor_of(SoftmaxLoss(K), augmentation).double()
    features = torch.randn(7, D, dtype=torch.float64, requires_grad=True)
    run(predictor, features=features)
    weight, feature_grad = predictor.cls_score.weight.grad.clone(), features.grad.clone()
    plain = predictor_of(SoftmaxLoss(K)).double()
    plain.load_state_dict(predictor.state_dict(), strict=False)
    other = features.detach().clone().requires_grad_()
    run(plain, features=other)
    share = 7 / 9.5 if as_rois else 1.0
    box = torch.autograd.grad(  # of the box regression, which has no share in it
        plain.losses(plain(other), proposals_of(LABELS))["loss_box_reg"], other
    )[0]
    torch.testing.assert_close(feature_grad - box, share * (other.grad - box))
    rows = augmentation.rows
    logits = plain.cls_score(rows.features.double()).detach().requires_grad_()
    losses = F.cross_entropy(logits, rows.gt_classes, reduction="none")
    (delta,) = torch.autograd.grad((losses * rows.weights).sum(), logits)
    added = delta.T @ rows.features.double() / (9.5 if as_rois else 1.0)
    torch.testing.assert_close(weight, share * plain.cls_score.weight.grad + added)


def test_running_statistics_see_rows_that_are_rois_alone(event_storage):
    class Counting(SoftmaxLoss):
        def update_state(self, logits, gt_classes, weights=None):
            seen.append(gt_classes.tolist())

    for as_rois, expected in ((False, [LABELS]), (True, [LABELS, [3, 1]])):
        seen = []
        run(predictor_of(Counting(K), ConstantRows(as_rois)))
        assert seen == expected


def test_a_row_of_no_image_has_no_known_negative(event_storage):
    """With LVIS's lists a row is a positive of its class and a negative of none."""
    augmentation = ConstantRows()
    known_negatives, features = torch.rand(1, K) < 0.5, torch.randn(7, D)
    values = []
    for rows in (augmentation, None):
        predictor = predictor_of(SigmoidLoss(K, only_known_negatives=True), rows)
        predictor.known_negatives = known_negatives
        values.append(run(predictor, features=features)["loss_cls"])
    rows = augmentation.rows
    own = predictor.cls_score(rows.features)[torch.arange(2), rows.gt_classes]
    torch.testing.assert_close(values[0] - values[1], (rows.weights * F.softplus(-own)).sum())


def test_only_in_training(event_storage):
    augmentation = ConstantRows()
    predictor = predictor_of(SoftmaxLoss(K), augmentation).eval()
    features = torch.randn(7, D)
    loss = predictor.losses(predictor(features), proposals_of(LABELS))["loss_cls"]
    own = F.cross_entropy(predictor.cls_score(features), torch.tensor(LABELS))
    torch.testing.assert_close(loss, own)
    assert not augmentation.seen
    assert predictor.features is None


# --- by the config -----------------------------------------------------------------------------


@pytest.fixture
def cfg():
    cfg = get_cfg()
    add_lt_det_config(cfg)
    return cfg


def test_without_a_name_there_is_none(tiny_cfg):
    predictor = next(box_predictors(build_model(tiny_cfg)))
    assert predictor.feature_augmentation is None
    assert not predictor._forward_pre_hooks
    assert not any("augmentation" in key for key in predictor.state_dict())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["NAME", "FASAAugmentation"], "set DATASETS.HOLDOUT"),
        (["NAME", "FeatureMemoryAugmentation", "META", "MetaReweighter"], "SOLVER.META.NAME"),
        (["PERIOD", -1], "PERIOD to be at least 0, but got -1"),
    ],
)
def test_contradictions_raise(cfg, settings, message):
    for name, value in zip(settings[::2], settings[1::2], strict=True):
        node = cfg.SOLVER.META if name == "META" else cfg.MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION
        node["NAME" if name == "META" else name] = value
    with pytest.raises(ValueError, match=message):
        check_config(cfg)


def test_unknown_names_are_listed(tiny_cfg):
    tiny_cfg.MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION.NAME = "FASA"
    with pytest.raises(ValueError, match=r"AUGMENTATION\.NAME 'FASA'.*FASAAugmentation"):
        build_model(tiny_cfg)
