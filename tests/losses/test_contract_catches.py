"""The contract tests fail for losses that are wrong on purpose."""

import pytest
import test_contract
import test_contract_config
import test_contract_state
import test_contract_weights
import torch
import torch.nn.functional as F

from lt_det.losses import BalancedGroupSoftmaxLoss, EQLv2Loss, SoftmaxLoss
from lt_det.losses.base import ExactBuffers


class RandomLoss(SoftmaxLoss):
    def forward(self, logits, gt_classes, mask=None):
        return super().forward(logits, gt_classes, mask) * torch.rand(len(gt_classes))


class ChangesItsInputLoss(SoftmaxLoss):
    def forward(self, logits, gt_classes, mask=None):
        with torch.no_grad():
            logits.clamp_(-1, 1)
        return super().forward(logits, gt_classes, mask)


class CountsInForwardLoss(SoftmaxLoss):
    def __init__(self, num_classes, class_stats=None):
        super().__init__(num_classes, class_stats)
        self.running = ExactBuffers()
        self.running.register_buffer("steps", torch.zeros((), dtype=torch.float64))

    def forward(self, logits, gt_classes, mask=None):
        self.running.steps += 1
        return super().forward(logits, gt_classes, mask)


class ByIndexLoss(SoftmaxLoss):
    def shift(self, gt_classes):
        return F.pad(torch.arange(self.num_classes) / 10, (0, 1)).unsqueeze(0)


class ProbsByIndexLoss(SoftmaxLoss):
    def predict_probs(self, logits):
        return super().predict_probs(logits) * torch.tensor([0.9, 1, 1, 1, 1])


class UnsavedLoss(SoftmaxLoss):
    def __init__(self, num_classes, class_stats=None):
        super().__init__(num_classes, class_stats)
        self.seen = torch.ones(num_classes, dtype=torch.float64)

    def shift(self, gt_classes):
        return F.pad(self.seen.log(), (0, 1)).unsqueeze(0)

    def update_state(self, logits, gt_classes, weights=None):
        self.seen = self.seen + torch.bincount(gt_classes, minlength=self.num_classes + 1)[:-1]


class PlainBufferLoss(SoftmaxLoss):
    def __init__(self, num_classes, class_stats=None):
        super().__init__(num_classes, class_stats)
        self.register_buffer("seen", torch.ones(num_classes, dtype=torch.float64))


class IgnoresItsParameterLoss(SoftmaxLoss):
    def __init__(self, num_classes, class_stats=None, *, tau: float = 1.0):
        super().__init__(num_classes, class_stats)


class CountsRowsLoss(EQLv2Loss):
    def update_state(self, logits, gt_classes, weights=None):
        super().update_state(logits, gt_classes)


class MasksByRowsLoss(BalancedGroupSoftmaxLoss):
    def draw_mask(self, gt_classes, known_negatives=None, weights=None):
        return super().draw_mask(gt_classes, known_negatives)


class AveragesRowsLoss(SoftmaxLoss):
    def forward(self, logits, gt_classes, mask=None):
        losses = super().forward(logits, gt_classes, mask)
        return losses / losses.detach().mean()


def by_copies_of_a_group(cls, hyper, class_stats):
    # Without others nothing is random.
    settings = {"others_ratio": 0.0}
    test_contract_weights.test_integer_weights_are_copies(cls, settings, class_stats)


def by_counts_in_half_precision(cls, hyper, class_stats):
    test_contract_state.test_statistics_stay_exact_in_half_precision(cls, hyper, "half")


def a_stock_state(cls, hyper, class_stats):
    test_contract_state.test_stock_state_dict_leaves_statistics_alone(cls, class_stats)


def parameters(cls, hyper, class_stats):
    test_contract_config.test_every_parameter_changes_something(cls, class_stats)


@pytest.mark.parametrize(
    ("cls", "check", "message"),
    [
        (RandomLoss, test_contract.test_forward_is_pure, "equal"),
        (ChangesItsInputLoss, test_contract.test_forward_is_pure, "equal"),
        (CountsInForwardLoss, test_contract.test_forward_is_pure, "all"),
        (
            ByIndexLoss,
            test_contract.test_permuting_classes_with_their_counts_changes_nothing,
            "not close",
        ),
        (
            ProbsByIndexLoss,
            test_contract.test_permuting_classes_with_their_counts_changes_nothing,
            "not close",
        ),
        (UnsavedLoss, test_contract_state.test_state_dict_round_trip, "equal"),
        (PlainBufferLoss, by_counts_in_half_precision, "seen: register it into an ExactBuffers"),
        (PlainBufferLoss, a_stock_state, "into an ExactBuffers"),
        (CountsRowsLoss, test_contract_weights.test_integer_weights_are_copies, "not close"),
        (MasksByRowsLoss, by_copies_of_a_group, "not close"),
        (AveragesRowsLoss, test_contract_weights.test_integer_weights_are_copies, "not close"),
        (IgnoresItsParameterLoss, parameters, r"add \['tau'\] of IgnoresItsParameterLoss to"),
    ],
)
def test_what_is_wrong_is_found(cls, check, message, class_stats):
    with pytest.raises(AssertionError, match=message):
        check(cls, {}, class_stats)


def test_a_parameter_without_effect_is_found(class_stats, monkeypatch):
    table = {"IgnoresItsParameterLoss": {"tau": (2.0, [-1.0])}}
    monkeypatch.setattr("contract.PARAMETERS", table)
    with pytest.raises(AssertionError, match="tau"):
        parameters(IgnoresItsParameterLoss, {}, class_stats)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_contract_config.test_every_invalid_value_is_named(IgnoresItsParameterLoss, class_stats)
