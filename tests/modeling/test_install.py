"""``install_box_predictor`` on models built by others: with the plain loss nothing changes."""

import copy

import pytest
import torch
from detectron2.data import DatasetMapper, get_detection_dataset_dicts
from detectron2.modeling import build_model
from detectron2.modeling.roi_heads import CascadeROIHeads
from detectron2.utils.env import seed_all_rng
from detectron2.utils.events import EventStorage
from torch import nn
from toy_models import (
    cascade_model,
    pointrend_model,
    spread_classifier,
    user_model,
    vitdet_model,
)

from lt_det.class_stats import ClassStats
from lt_det.losses import BalancedSoftmaxLoss, SigmoidLoss, SoftmaxLoss
from lt_det.modeling import (
    FeatureMemoryAugmentation,
    LTFastRCNNOutputLayers,
    TauNormCalibration,
    install_box_predictor,
)
from lt_det.modeling.find_predictors import box_predictors

MODELS = [user_model, cascade_model, pointrend_model, vitdet_model]


@pytest.fixture(params=MODELS, ids=lambda build: build.__name__)
def stock_model(request, tiny_cfg, toy_lvis):
    torch.manual_seed(0)
    return spread_classifier(request.param(tiny_cfg, toy_lvis.num_classes), std=0.1)


def losses_of(model, cfg, records) -> dict[str, float]:
    mapper = DatasetMapper(cfg, is_train=True)
    seed_all_rng(3)  # augmentation and the sampling of RoIs
    batch = [mapper(record) for record in records]
    with EventStorage():
        return {name: loss.item() for name, loss in model.train()(batch).items()}


def detections_of(model, cfg, records):
    mapper = DatasetMapper(cfg, is_train=False)
    with torch.no_grad():
        return [output["instances"] for output in model.eval()([mapper(r) for r in records])]


@pytest.mark.integration
def test_plain_softmax_changes_nothing(stock_model, tiny_cfg, toy_lvis):
    records = get_detection_dataset_dicts([toy_lvis.train])[:3]
    ours = copy.deepcopy(stock_model)
    install_box_predictor(ours, cls_loss=SoftmaxLoss(toy_lvis.num_classes))
    expected = losses_of(stock_model, tiny_cfg, records)
    assert losses_of(ours, tiny_cfg, records) == pytest.approx(expected, rel=1e-6)
    detections = detections_of(stock_model, tiny_cfg, records)
    assert sum(len(instances) for instances in detections)
    for a, b in zip(detections_of(ours, tiny_cfg, records), detections, strict=True):
        assert a.pred_boxes.tensor.equal(b.pred_boxes.tensor)
        assert a.scores.equal(b.scores)
        assert a.pred_classes.equal(b.pred_classes)
        assert a.pred_masks.equal(b.pred_masks)


@pytest.mark.integration
def test_it_trains_with_a_balanced_loss(stock_model, tiny_cfg, toy_lvis):
    stats = ClassStats(
        toy_lvis.num_classes, 8, list(toy_lvis.image_count), list(toy_lvis.instance_count)
    )
    records = get_detection_dataset_dicts([toy_lvis.train])[:3]
    plain = losses_of(stock_model, tiny_cfg, records)
    install_box_predictor(stock_model, cls_loss=BalancedSoftmaxLoss(toy_lvis.num_classes, stats))
    balanced = losses_of(stock_model, tiny_cfg, records)
    assert balanced.keys() == plain.keys()
    for name in plain:
        changed = name.startswith("loss_cls") or name == "loss_of_theirs"
        # Later stages of a cascade sample by the boxes, which are the same.
        assert (balanced[name] != pytest.approx(plain[name], rel=1e-6)) == changed, name


@pytest.mark.integration
def test_stock_checkpoints_fit_both_ways(stock_model, toy_lvis):
    stock = {name: value.clone() for name, value in stock_model.state_dict().items()}
    install_box_predictor(stock_model, cls_loss=SoftmaxLoss(toy_lvis.num_classes))
    ours = stock_model.state_dict()
    assert ours.keys() >= stock.keys()
    assert all(".cls_loss." in name for name in ours.keys() - stock.keys())
    assert all(ours[name].equal(value) for name, value in stock.items())
    stock_model.load_state_dict(stock, strict=False)


def test_a_yacs_config_decides_loss_and_classifier(tiny_cfg, toy_lvis):
    tiny_cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    model = build_model(tiny_cfg)
    stock = model.roi_heads.box_predictor
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = "BalancedSoftmaxLoss"
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.WEIGHT = 3.0
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLASSIFIER.NAME = "CosineClassifier"
    assert install_box_predictor(model, tiny_cfg) is model
    predictor = model.roi_heads.box_predictor
    assert type(predictor) is LTFastRCNNOutputLayers
    assert type(predictor.cls_loss) is BalancedSoftmaxLoss
    assert type(predictor.cls_score).__name__ == "CosineClassifier"
    assert predictor.loss_weight["loss_cls"] == 3.0
    assert predictor.bbox_pred is stock.bbox_pred
    stats = predictor.cls_loss.class_stats.value()
    assert stats.image_count.tolist() == list(toy_lvis.image_count)


def test_a_sigmoid_of_another_width_starts_afresh(tiny_cfg, toy_lvis):
    tiny_cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    model = build_model(tiny_cfg)
    install_box_predictor(model, cls_loss=SigmoidLoss(toy_lvis.num_classes, prior_prob=0.25))
    bias = model.roi_heads.box_predictor.cls_score.bias
    assert bias.shape == (toy_lvis.num_classes,)
    torch.testing.assert_close(bias.sigmoid(), torch.full_like(bias, 0.25))


def test_every_stage_of_a_cascade_has_its_own_loss_and_box_encoding(tiny_cfg, toy_lvis):
    model = cascade_model(tiny_cfg, toy_lvis.num_classes)
    stages = [stage.box2box_transform.weights for stage in model.roi_heads.box_predictor]
    install_box_predictor(model, cls_loss=SoftmaxLoss(toy_lvis.num_classes))
    assert isinstance(model.roi_heads, CascadeROIHeads)
    predictors = list(box_predictors(model))
    assert len({id(predictor.cls_loss) for predictor in predictors}) == len(predictors) == 3
    assert [predictor.box2box_transform.weights for predictor in predictors] == stages


def test_every_stage_of_a_cascade_is_calibrated(tiny_cfg, toy_lvis):
    by_object = cascade_model(tiny_cfg, toy_lvis.num_classes)
    loss, calibration = SoftmaxLoss(toy_lvis.num_classes), TauNormCalibration(tau=0.5)
    install_box_predictor(by_object, cls_loss=loss, calibration=calibration)
    by_config = cascade_model(tiny_cfg, toy_lvis.num_classes)
    tiny_cfg.TEST.CALIBRATION.NAME = "TauNormCalibration"
    tiny_cfg.TEST.CALIBRATION.TAU_NORM.TAU = 0.5
    install_box_predictor(by_config, tiny_cfg)
    for model in (by_object, by_config):
        assert [p.calibration.tau for p in box_predictors(model)] == [0.5] * 3


def test_every_stage_of_a_cascade_has_its_own_augmentation(tiny_cfg, toy_lvis):
    number, model = toy_lvis.num_classes, cascade_model(tiny_cfg, toy_lvis.num_classes)
    memory = FeatureMemoryAugmentation(number, 32, size=7)
    install_box_predictor(model, cls_loss=SoftmaxLoss(number), feature_augmentation=memory)
    augmentations = [p.feature_augmentation for p in box_predictors(model)]
    assert [augmentation.size for augmentation in augmentations] == [7] * 3
    assert len({id(augmentation) for augmentation in augmentations}) == 3


@pytest.mark.parametrize(("classes", "features"), [(0, 1), (1, 0)])
def test_an_augmentation_of_other_sizes_is_refused(tiny_cfg, toy_lvis, classes, features):
    number, model = toy_lvis.num_classes, cascade_model(tiny_cfg, toy_lvis.num_classes)
    memory = FeatureMemoryAugmentation(number + classes, 32 + features)
    expected = rf"of {number} classes and 32 features, but FeatureMemory\w+ has {number + classes} "
    with pytest.raises(ValueError, match=expected):
        install_box_predictor(model, cls_loss=SoftmaxLoss(number), feature_augmentation=memory)


@pytest.mark.parametrize(("per_class", "per_image"), [(0, 17), (10_000, -1)])
def test_ap_fixed_needs_every_detection_of_an_image(tiny_cfg, toy_lvis, per_class, per_image):
    tiny_cfg.TEST.DETECTIONS_PER_IMAGE = 17
    tiny_cfg.TEST.DETECTIONS_PER_CLASS = per_class
    built, installed = build_model(tiny_cfg), cascade_model(tiny_cfg, toy_lvis.num_classes)
    install_box_predictor(installed, tiny_cfg)
    for model in (built, installed):
        assert {p.test_topk_per_image for p in box_predictors(model)} == {per_image}


@pytest.mark.parametrize("both", [False, True])
def test_either_a_config_or_a_loss(tiny_cfg, both):
    arguments = {"cfg": tiny_cfg, "cls_loss": SoftmaxLoss(5)} if both else {}
    with pytest.raises(ValueError, match=r"either `cfg` or `cls_loss`"):
        install_box_predictor(nn.Identity(), **arguments)


@pytest.mark.parametrize("part", ["classifier", "calibration", "feature_augmentation"])
def test_parts_beside_a_config_are_refused(tiny_cfg, part):
    with pytest.raises(ValueError, match=rf"`{part}`.* go with `cls_loss`; with `cfg` set MODEL"):
        install_box_predictor(nn.Identity(), tiny_cfg, **{part: nn.Identity()})


def test_a_model_without_a_box_predictor_is_refused():
    with pytest.raises(ValueError, match=r"Sequential has no FastRCNNOutputLayers"):
        install_box_predictor(nn.Sequential(nn.Linear(2, 2)), cls_loss=SoftmaxLoss(5))


def test_another_number_of_classes_is_refused(tiny_cfg, toy_lvis):
    tiny_cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    model = build_model(tiny_cfg)
    with pytest.raises(ValueError, match=rf"loss of {toy_lvis.num_classes} classes.*has 7"):
        install_box_predictor(model, cls_loss=SoftmaxLoss(7))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"cls_loss": "BalancedSoftmaxLoss"},
            "loss of lt_det.losses.*'BalancedSoftmaxLoss'; names",
        ),
        ({"cls_loss": SoftmaxLoss}, "loss of lt_det.losses.*<class"),
        ({"cls_loss": SoftmaxLoss(5), "classifier": "CosineClassifier"}, "a module.*'CosineC"),
        ({"cls_loss": SoftmaxLoss(5), "calibration": "NorCal"}, "`calibration`.*'NorCal'"),
        ({"cls_loss": SoftmaxLoss(5), "feature_augmentation": "FASA"}, "`feature_aug.*'FASA'"),
    ],
)
def test_names_and_classes_in_place_of_modules_are_refused(parts, message):
    with pytest.raises(TypeError, match=message):
        install_box_predictor(nn.Identity(), **parts)
