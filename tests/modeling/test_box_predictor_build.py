"""Building LTFastRCNNOutputLayers: by constructor, by config; what contradicts is refused."""

import copy
import logging

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model, build_roi_heads
from detectron2.modeling.box_regression import Box2BoxTransform
from toy_predictor import D, K, every_loss, predictor_of, proposals_of, run

from lt_det.losses import BOX_CLS_LOSS_REGISTRY, BoxClsLoss, SigmoidLoss, SoftmaxLoss
from lt_det.modeling import (
    CosineClassifier,
    LinearClassifier,
    LTFastRCNNOutputLayers,
    LTStandardROIHeads,
)
from lt_det.modeling.find_predictors import box_predictors


@every_loss
def test_classifier_has_the_losses_layout(loss):
    predictor = predictor_of(loss)
    assert isinstance(predictor.cls_score, LinearClassifier)
    assert predictor.cls_score.weight.shape == (loss.num_logits, D)
    assert torch.allclose(predictor.cls_score.bias, torch.tensor(loss.init_bias()))
    probs = loss.predict_probs(predictor.cls_score(torch.zeros(1, D)))
    if isinstance(loss, SigmoidLoss):
        torch.testing.assert_close(probs[0, :K], torch.full((K,), 0.01))


def test_plain_constructor_takes_a_classifier_as_it_is():
    """It may be a trained one: only a classifier that the predictor makes itself is initialised."""
    classifier = CosineClassifier(D, K, scale=3.0)
    before = copy.deepcopy(classifier.state_dict())
    predictor = predictor_of(SigmoidLoss(K), classifier=classifier)
    assert predictor.cls_score is classifier
    for name, value in classifier.state_dict().items():
        assert value.equal(before[name])


def test_classifier_of_another_width_is_refused():
    with pytest.raises(ValueError, match=rf"{K} logits of SigmoidLoss, but it has {K + 1}"):
        predictor_of(SigmoidLoss(K), classifier=CosineClassifier(D, K + 1))


@pytest.mark.parametrize("argument", ["use_sigmoid_ce", "use_fed_loss"])
def test_stock_losses_by_constructor_are_refused(argument):
    with pytest.raises(ValueError, match="cls_loss"):
        predictor_of(SoftmaxLoss(K), **{argument: True})


def test_other_number_of_classes_is_refused():
    with pytest.raises(ValueError, match=r"loss of 5 classes.*SoftmaxLoss has 4"):
        LTFastRCNNOutputLayers(
            ShapeSpec(channels=D),
            box2box_transform=Box2BoxTransform(weights=(1.0, 1.0, 1.0, 1.0)),
            num_classes=5,
            cls_loss=SoftmaxLoss(4),
        )


@every_loss
@pytest.mark.parametrize("classifier", ["LinearClassifier", "CosineClassifier"])
def test_is_built_from_the_config(tiny_cfg, loss_class, classifier, toy_lvis):
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = loss_class.__name__
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.WEIGHT = 2.0
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLASSIFIER.NAME = classifier
    tiny_cfg.MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_WEIGHT = 0.5
    heads = build_roi_heads(tiny_cfg, {f"p{i}": ShapeSpec(16, stride=2**i) for i in range(2, 6)})
    assert isinstance(heads, LTStandardROIHeads)
    (predictor,) = box_predictors(heads)
    assert type(predictor.cls_loss) is loss_class
    assert type(predictor.cls_score).__name__ == classifier
    assert predictor.cls_score.weight.shape == (predictor.cls_loss.num_logits, 32)
    assert predictor.loss_weight == {"loss_cls": 2.0, "loss_box_reg": 0.5}
    stats = predictor.cls_loss.class_stats.value()
    assert tuple(stats.image_count) == toy_lvis.image_count
    assert tuple(stats.instance_count) == toy_lvis.instance_count


@pytest.mark.parametrize("key", ["USE_SIGMOID_CE", "USE_FED_LOSS"])
def test_detectron2s_own_losses_are_refused(tiny_cfg, key):
    tiny_cfg.MODEL.ROI_BOX_HEAD[key] = True
    expected = rf"ROI_BOX_HEAD\.{key}.*CLS_LOSS\.NAME 'SoftmaxLoss'.*False"
    with pytest.raises(ValueError, match=expected):
        build_model(tiny_cfg)


def test_number_of_classes_against_the_data_set(tiny_cfg):
    tiny_cfg.MODEL.ROI_HEADS.NUM_CLASSES = 80
    expected = "NUM_CLASSES is 80.*'lt_det_toy_train' has 5.*NUM_CLASSES 5"
    with pytest.raises(ValueError, match=expected):
        build_model(tiny_cfg)


def test_model_is_built_without_the_training_set(tiny_cfg, tmp_path, caplog):
    """To predict, one needs a checkpoint and no annotations; only training asks for them."""
    from detectron2.data import DatasetCatalog, MetadataCatalog

    from lt_det.data.datasets.lvis import register_lvis_format

    register_lvis_format("lt_det_test_absent", tmp_path / "absent.json", tmp_path)
    try:
        tiny_cfg.DATASETS.TRAIN = ("lt_det_test_absent",)
        tiny_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = "BalancedSoftmaxLoss"
        with caplog.at_level(logging.WARNING, "lt_det"):
            model = build_model(tiny_cfg)
        assert "absent.json" in caplog.text
        (predictor,) = box_predictors(model)
        assert predictor.cls_loss.class_stats.value() is None
        predictor.eval().predict_probs(predictor(torch.randn(2, 32)), proposals_of([0, 1]))
        with pytest.raises(ValueError, match="BalancedSoftmaxLoss needs class statistics"):
            predictor.cls_loss(torch.zeros(1, 6), torch.tensor([0]))
    finally:
        DatasetCatalog.remove("lt_det_test_absent")
        MetadataCatalog.remove("lt_det_test_absent")


def test_named_statistics_file_must_exist(tiny_cfg, tmp_path):
    tiny_cfg.DATASETS.CLASS_STATS_FILE = str(tmp_path / "typo.json")
    with pytest.raises(FileNotFoundError, match=r"typo\.json"):
        build_model(tiny_cfg)


def test_loss_from_outside_trains_a_detector(tiny_cfg, event_storage):
    @BOX_CLS_LOSS_REGISTRY.register()
    class HingeLoss(BoxClsLoss):
        """Only a forward."""

        def forward(self, logits, gt_classes, mask=None):
            return (1 - logits.gather(1, gt_classes[:, None])[:, 0]).relu()

    try:
        tiny_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.HINGE = type(tiny_cfg)()
        tiny_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = "HingeLoss"
        (predictor,) = box_predictors(build_model(tiny_cfg))
        assert run(predictor, proposals_of([0, 4]), torch.randn(2, 32))["loss_cls"] > 0
    finally:
        BOX_CLS_LOSS_REGISTRY._obj_map.pop("HingeLoss")
