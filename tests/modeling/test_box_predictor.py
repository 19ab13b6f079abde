"""LTFastRCNNOutputLayers: odd batches, frozen parts, precision, building, contradictions."""

import copy
import logging

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model, build_roi_heads
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.structures import Boxes, Instances

from lt_det.losses import (
    BOX_CLS_LOSS_REGISTRY,
    BalancedGroupSoftmaxLoss,
    BalancedSigmoidLoss,
    BalancedSoftmaxLoss,
    BoxClsLoss,
    SigmoidLoss,
    SoftmaxLoss,
)
from lt_det.modeling import (
    CosineClassifier,
    LinearClassifier,
    LTFastRCNNOutputLayers,
    LTStandardROIHeads,
)
from lt_det.modeling.find_predictors import box_predictors

K, D = 4, 6
LOSSES = [SoftmaxLoss, SigmoidLoss, BalancedSoftmaxLoss, BalancedSigmoidLoss]
every_loss = pytest.mark.parametrize("loss_class", LOSSES, ids=lambda cls: cls.__name__)


def predictor_of(loss, **kwargs) -> LTFastRCNNOutputLayers:
    """By the plain constructor, as a LazyConfig would."""
    return LTFastRCNNOutputLayers(
        ShapeSpec(channels=D),
        box2box_transform=Box2BoxTransform(weights=(10.0, 10.0, 5.0, 5.0)),
        num_classes=loss.num_classes,
        cls_loss=loss,
        **kwargs,
    )


def proposals_of(*labels, gt_boxes=True):
    """One image for each list of labels."""
    proposals = []
    for classes in labels:
        image = Instances((50, 50))
        corner = 20 * torch.rand(len(classes), 2)
        image.proposal_boxes = Boxes(torch.cat([corner, corner + 15], dim=1))
        image.gt_classes = torch.tensor(classes, dtype=torch.long)
        if gt_boxes:
            image.gt_boxes = Boxes(image.proposal_boxes.tensor + 1)
        proposals.append(image)
    return proposals


def run(predictor, proposals, features=None):
    """Losses and their gradients of an ordinary training step."""
    if features is None:
        features = torch.randn(sum(map(len, proposals)), D)
    losses = predictor.losses(predictor(features), proposals)
    predictor.zero_grad()
    sum(losses.values()).backward()
    return losses


@pytest.fixture
def loss(loss_class, class_stats):
    return loss_class(K, class_stats)


# --- batches -----------------------------------------------------------------------------------


@every_loss
@pytest.mark.parametrize(
    ("labels", "gt_boxes"),
    [
        ([[0, 1, 4], [3, 4]], True),
        ([[4, 4], [4]], True),
        ([[4, 4], [4]], False),
        ([[0, 2], []], True),
        ([[], []], True),
        ([[]], False),
        ([], True),
    ],
    ids=[
        "ordinary",
        "background",
        "no gt_boxes",
        "one image empty",
        "no RoI",
        "no RoI, no gt_boxes",
        "no image",
    ],
)
def test_every_batch_has_finite_losses_and_gradients(loss, labels, gt_boxes, event_storage):
    predictor = predictor_of(loss)
    losses = run(predictor, proposals_of(*labels, gt_boxes=gt_boxes))
    assert set(losses) == {"loss_cls", "loss_box_reg"}
    assert all(value.isfinite() and value.dim() == 0 for value in losses.values())
    assert all(p.grad.isfinite().all() for p in predictor.parameters())
    if not sum(map(len, labels)):
        assert all(value == 0 for value in losses.values())


def test_gt_boxes_may_be_missing_in_one_image(event_storage):
    """Detectron2 adds them only where an image has objects."""
    mixed = [*proposals_of([0, 4]), *proposals_of([4, 4], gt_boxes=False)]
    losses = run(predictor_of(SoftmaxLoss(K)), mixed)
    assert losses["loss_box_reg"] > 0


@every_loss
@pytest.mark.parametrize("labels", [[[0, 1, 4], [3, 4]], [[2]], [[], [4]]])
def test_loss_is_the_mean_over_rois(loss, labels, event_storage):
    predictor = predictor_of(loss)
    gt_classes = torch.tensor([c for image in labels for c in image])
    features = torch.randn(len(gt_classes), D)
    losses = run(predictor, proposals_of(*labels), features)
    rows = loss(predictor.cls_score(features), gt_classes)
    torch.testing.assert_close(losses["loss_cls"], rows.mean())


@every_loss
def test_inference_without_proposals(loss):
    predictor = predictor_of(loss).eval()
    instances, kept = predictor.inference(predictor(torch.zeros(0, D)), proposals_of([]))
    assert len(instances[0]) == 0
    assert len(kept[0]) == 0


@every_loss
def test_probabilities_are_split_by_image(loss):
    predictor = predictor_of(loss).eval()
    features = torch.randn(5, D)
    probs = predictor.predict_probs(predictor(features), proposals_of([0, 1], [], [2, 3, 4]))
    assert [p.shape for p in probs] == [(2, K + 1), (0, K + 1), (3, K + 1)]
    assert torch.cat(probs).equal(loss.predict_probs(predictor.cls_score(features)))


@every_loss
def test_detections_are_foreground_classes(loss):
    predictor = predictor_of(loss, test_score_thresh=0.0, test_topk_per_image=100).eval()
    (detections,), _ = predictor.inference(predictor(torch.randn(9, D)), proposals_of([0] * 9))
    assert len(detections)
    assert set(detections.pred_classes.tolist()) <= set(range(K))


# --- frozen parts ------------------------------------------------------------------------------


def test_frozen_box_regression_has_no_loss(event_storage):
    predictor = predictor_of(SoftmaxLoss(K))
    predictor.bbox_pred.requires_grad_(False)
    assert set(run(predictor, proposals_of([0, 4]))) == {"loss_cls"}
    # Below it something may still train: then it is no constant.
    features = torch.randn(2, D, requires_grad=True)
    assert set(run(predictor, proposals_of([0, 4]), features)) == {"loss_cls", "loss_box_reg"}


def test_losses_without_gradient_are_complete(event_storage):
    """A validation loss under no_grad is no frozen branch."""
    predictor = predictor_of(SoftmaxLoss(K))
    with torch.no_grad():
        losses = predictor.losses(predictor(torch.randn(2, D)), proposals_of([0, 4]))
    assert set(losses) == {"loss_cls", "loss_box_reg"}


def test_loss_weights(event_storage):
    features, proposals = torch.randn(4, D), proposals_of([0, 1, 4, 4])
    plain = predictor_of(SoftmaxLoss(K))
    weighted = predictor_of(SoftmaxLoss(K), loss_weight={"loss_cls": 3.0, "loss_box_reg": 0.5})
    weighted.load_state_dict(plain.state_dict())
    a, b = (run(p, proposals, features) for p in (plain, weighted))
    torch.testing.assert_close(b["loss_cls"], 3 * a["loss_cls"])
    torch.testing.assert_close(b["loss_box_reg"], 0.5 * a["loss_box_reg"])


# --- precision ---------------------------------------------------------------------------------


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_evaluated_in_float32(loss, dtype, event_storage):
    predictor = predictor_of(loss)
    gt_classes = torch.tensor([0, 1, 4, 4])
    logits = torch.randn(4, loss.num_logits).to(dtype)
    half = predictor.classification_loss(logits, gt_classes)
    assert half.dtype == torch.float32
    assert half.equal(predictor.classification_loss(logits.float(), gt_classes))
    proposals = proposals_of([0, 1, 4, 4])
    (probs,) = predictor.predict_probs((logits, None), proposals)
    assert probs.dtype == torch.float32
    (expected,) = predictor.predict_probs((logits.float(), None), proposals)
    assert probs.equal(expected)


@every_loss
def test_trains_under_autocast(loss, event_storage):
    predictor = predictor_of(loss)
    features, proposals = torch.randn(4, D), proposals_of([0, 1, 4, 4])
    exact = run(predictor, proposals, features)
    with torch.autocast("cpu", torch.bfloat16):
        losses = run(predictor, proposals, features)
    assert all(p.grad.isfinite().all() for p in predictor.parameters())
    for name, value in losses.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, exact[name], rtol=0.02, atol=0.02)


# --- contract with the loss --------------------------------------------------------------------


class RecordingLoss(SoftmaxLoss):
    """Says when it is called, and with what."""

    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.calls = []

    def draw_mask(self, gt_classes, verified=None, generator=None):
        self.calls.append("draw_mask")
        return torch.full((len(gt_classes), self.num_logits), 0.5)

    def forward(self, logits, gt_classes, mask=None):
        self.calls.append(("forward", mask.unique().tolist()))
        return super().forward(logits, gt_classes)

    def update_state(self, logits, gt_classes):
        self.calls.append(("update_state", logits.requires_grad))


def test_members_are_called_once_a_step(event_storage):
    loss = RecordingLoss(K)
    predictor = predictor_of(loss)
    run(predictor, proposals_of([0, 1]))
    assert loss.calls == ["draw_mask", ("forward", [0.5]), ("update_state", False)]
    loss.calls.clear()
    predictor.eval()
    run(predictor, proposals_of([0, 1]))
    assert ("update_state", False) not in loss.calls


def test_accuracy_is_logged_for_both_layouts(event_storage):
    scores = torch.tensor([[9.0, 0, 0, 0], [0, 9, 0, 0], [0, 0, 9, 0], [9, 0, 0, 0]])
    labels = torch.tensor([0, 1, 1, 4])
    predictor_of(SigmoidLoss(K)).classification_loss(scores, labels)
    logged = {k: v[0] for k, v in event_storage.latest().items()}
    assert logged == {"fast_rcnn/fg_cls_accuracy": pytest.approx(2 / 3)}
    with_background = torch.cat([scores, torch.tensor([[0.0], [10], [0], [10]])], dim=1)
    predictor_of(SoftmaxLoss(K)).classification_loss(with_background, labels)
    logged = {k: v[0] for k, v in event_storage.latest().items()}
    assert logged == {
        "fast_rcnn/cls_accuracy": pytest.approx(2 / 4),
        "fast_rcnn/fg_cls_accuracy": pytest.approx(1 / 3),
        "fast_rcnn/false_negative": pytest.approx(1 / 3),
    }


def test_accuracy_of_a_wide_layout_is_that_of_its_probabilities(class_stats, event_storage):
    """Logits of different groups do not compare."""
    loss = BalancedGroupSoftmaxLoss(K, class_stats)
    logits = torch.zeros(2, loss.num_logits)
    logits[0, 3], logits[0, K + 1] = 2.0, 5.0  # class 3 in its own group, surely foreground
    logits[1, 3], logits[1, K] = 2.0, 5.0  # the same, surely background
    logits[:, K + 2] = 1.0
    logits[:, 0] = 3.0
    logits[:, K + 4] = 9.0  # the others of class 0's group
    predictor_of(loss).classification_loss(logits, torch.tensor([3, 4]))
    logged = {k: v[0] for k, v in event_storage.latest().items()}
    assert logged == {
        "fast_rcnn/cls_accuracy": 1.0,
        "fast_rcnn/fg_cls_accuracy": 1.0,
        "fast_rcnn/false_negative": 0.0,
    }


# --- building ----------------------------------------------------------------------------------


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

    from lt_det.data.lvis import register_lvis_format

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


# --- heads -------------------------------------------------------------------------------------


def test_frozen_mask_head_is_skipped_in_training_only(tiny_cfg, toy_lvis, event_storage):
    from detectron2.data import DatasetMapper, get_detection_dataset_dicts

    model = build_model(tiny_cfg)
    mapper = DatasetMapper(tiny_cfg, is_train=True)
    batch = [mapper(r) for r in get_detection_dataset_dicts([toy_lvis.train])[:2]]
    assert "loss_mask" in model(batch)
    model.roi_heads.mask_head.requires_grad_(False)
    assert "loss_mask" not in model(batch)
    assert model.roi_heads.mask_on
    model.eval()
    with torch.no_grad():
        assert all("pred_masks" in out["instances"].get_fields() for out in model(batch))
