"""SigmoidLoss: K binary cross-entropies a RoI."""

import math

import pytest
import torch

from lt_det.losses import BalancedSigmoidLoss, SigmoidLoss


def slow(logits, gt_classes, num_classes, weight=None):
    """One element at a time, from the definition of the logistic function."""
    losses = []
    for i, row in enumerate(logits.tolist()):
        total = 0.0
        for j in range(num_classes):
            p = 1 / (1 + math.exp(-row[j]))
            element = -math.log(p) if gt_classes[i] == j else -math.log(1 - p)
            total += element if weight is None else element * weight[i, j].item()
        losses.append(total)
    return torch.tensor(losses, dtype=torch.float64)


@pytest.fixture
def gt_classes():
    return torch.tensor([0, 1, 2, 3, 4, 4, 0, 2, 4])


@pytest.mark.parametrize("background_column", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_equals_a_loop(background_column, masked, gt_classes):
    loss = SigmoidLoss(4, background_column=background_column)
    assert loss.num_logits == 4 + background_column
    logits = torch.randn(9, loss.num_logits, dtype=torch.float64)
    mask = torch.rand(9, loss.num_logits, dtype=torch.float64) if masked else None
    torch.testing.assert_close(
        loss(logits, gt_classes, mask), slow(logits, gt_classes, 4, mask), rtol=1e-12, atol=1e-12
    )


def test_by_hand():
    """Logits log 3 and 0: probabilities 3/4 and 1/2."""
    logits = torch.tensor([[math.log(3), 0.0]], dtype=torch.float64)
    loss = SigmoidLoss(2)
    for label, product in enumerate((3 / 4 * 1 / 2, 1 / 4 * 1 / 2, 1 / 4 * 1 / 2)):
        value = loss(logits, torch.tensor([label])).item()
        assert value == pytest.approx(-math.log(product), rel=1e-14)
    expected = torch.tensor([[0.75, 0.5, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(loss.predict_probs(logits), expected)


def test_gradient_is_probability_minus_target(gt_classes):
    logits = torch.randn(9, 5, dtype=torch.float64, requires_grad=True)
    SigmoidLoss(4, background_column=True)(logits, gt_classes).sum().backward()
    target = torch.eye(5, dtype=torch.float64)[gt_classes]
    expected = 1 / (1 + (-logits.detach()).exp()) - target
    expected[:, 4] = 0  # the dead column
    torch.testing.assert_close(logits.grad, expected, rtol=1e-12, atol=1e-12)


def test_dead_column_is_never_read(gt_classes):
    loss = SigmoidLoss(4, background_column=True)
    logits = torch.randn(9, 5, dtype=torch.float64)
    other = logits.clone()
    other[:, 4] = math.inf
    assert loss(logits, gt_classes).equal(loss(other, gt_classes))
    assert loss.predict_probs(logits).equal(loss.predict_probs(other))
    assert (loss.predict_probs(logits)[:, 4] == 0).all()


@pytest.mark.parametrize("prior_prob", [0.5, 0.01, 0.001])
def test_initial_bias_is_the_logit_of_the_prior(prior_prob):
    bias = SigmoidLoss(4, prior_prob=prior_prob).init_bias()
    assert 1 / (1 + math.exp(-bias)) == pytest.approx(prior_prob, rel=1e-12)


def test_first_loss_of_many_classes_is_small():
    """1,203 classes at bias 0 would cost 1203 log 2 = 834 a RoI; from 0.01 it is 12."""
    loss = SigmoidLoss(1203)
    logits = torch.full((1, 1203), loss.init_bias(), dtype=torch.float64)
    background = loss(logits, torch.tensor([1203])).item()
    assert background == pytest.approx(-1203 * math.log(0.99), rel=1e-9)
    assert SigmoidLoss(1203)(0 * logits, torch.tensor([1203])).item() == pytest.approx(833.9, 1e-3)


# --- settings ------------------------------------------------------------------------------------

# Probabilities 3/4, 1/2 and, of the background, 3/4.
LOGITS = torch.tensor([[math.log(3), 0.0, math.log(3)]], dtype=torch.float64)
LOG2, LOG4, LOG4_3 = math.log(2), math.log(4), math.log(4 / 3)


@pytest.mark.parametrize("objectness", ["train", "product"])
@pytest.mark.parametrize(
    ("label", "expected"),
    [(0, LOG4_3 + LOG2 + LOG4), (1, LOG4 + LOG2 + LOG4), (2, LOG4 + LOG2 + LOG4_3)],
)
def test_objectness_by_hand(objectness, label, expected):
    value = SigmoidLoss(2, objectness=objectness)(LOGITS, torch.tensor([label])).item()
    assert value == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    ("objectness", "expected"), [("train", [0.75, 0.5, 0]), ("product", [0.75 / 4, 0.5 / 4, 0.75])]
)
def test_objectness_at_test(objectness, expected):
    probs = SigmoidLoss(2, objectness=objectness).predict_probs(LOGITS)
    torch.testing.assert_close(probs, torch.tensor([expected], dtype=torch.float64))


def test_gumbel_link_by_hand():
    """At logits 0 p is 1/e."""
    loss, q = SigmoidLoss(2, link="gumbel"), 1 / math.e
    logits = torch.zeros(1, 2, dtype=torch.float64)
    for label, expected in ((0, 1 - math.log(1 - q)), (2, -2 * math.log(1 - q))):
        value = loss(logits, torch.tensor([label])).item()
        assert value == pytest.approx(expected, rel=1e-14)
    assert loss.predict_probs(logits).tolist() == [pytest.approx([q, q, 0])]
    assert loss.init_bias() == pytest.approx(-math.log(-math.log(0.01)), rel=1e-14)


def test_objectness_leaves_a_shifted_loss_its_background(class_stats):
    """Balanced Sigmoid shifts the classes and not the background column."""
    logits, labels = torch.randn(10, 5, dtype=torch.float64), torch.arange(10) % 5
    loss = BalancedSigmoidLoss(4, class_stats, objectness="train")
    background = SigmoidLoss(1)(logits[:, 4:], (labels < 4).long())
    expected = BalancedSigmoidLoss(4, class_stats)(logits[:, :4], labels) + background
    torch.testing.assert_close(loss(logits, labels), expected)


def test_plain_keeps_layout_and_link():
    plain = SigmoidLoss(2, objectness="product", link="gumbel", only_known_negatives=True).plain()
    assert (plain.objectness, plain.link, plain.only_known_negatives) == (
        "product",
        "gumbel",
        False,
    )
