"""LTFastRCNNOutputLayers in a step and at inference: odd batches, means, frozen parts."""

import pytest
import torch
from detectron2.modeling import build_model
from toy_predictor import D, K, every_loss, predictor_of, proposals_of, run

from lt_det.losses import SoftmaxLoss

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
