"""LTFastRCNNOutputLayers and its loss: float32 throughout, each member called once, accuracy."""

import pytest
import torch
from toy_predictor import D, K, every_loss, predictor_of, proposals_of, run

from lt_det.losses import BalancedGroupSoftmaxLoss, SigmoidLoss, SoftmaxLoss

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

    def draw_mask(self, gt_classes, known_negatives=None, weights=None):
        self.calls.append("draw_mask")
        return torch.full((len(gt_classes), self.num_logits), 0.5)

    def forward(self, logits, gt_classes, mask=None):
        self.calls.append(("forward", mask.unique().tolist()))
        return super().forward(logits, gt_classes)

    def update_state(self, logits, gt_classes, weights=None):
        self.calls.append(("update_state", logits.requires_grad))


def test_members_are_called_once_a_step(event_storage):
    loss = RecordingLoss(K)
    predictor = predictor_of(loss)
    run(predictor, proposals_of([0, 1]))
    assert loss.calls == ["draw_mask", ("forward", [0.5]), ("update_state", False)]
    loss.calls.clear()
    predictor.eval()
    run(predictor, proposals_of([0, 1]))
    assert loss.calls == ["draw_mask", ("forward", [0.5])]


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
