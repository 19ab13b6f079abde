"""The contract of a loss: a row of weight w is w copies of it, for everything in the registry."""

import pytest
import torch
from contract import LOSSES, VARIANTS, K, every_variant, inputs, known_negatives_of

from lt_det.losses.weighted_rows import mean_over_rows

# How many RoIs each row stands for: of every class and the background some, and none.
COPIES = torch.tensor([1, 3, 2, 1, 4, 0, 1, 2, 1, 3, 0, 2])
REAL = torch.tensor([0.3, 2.5, 1.0, 0.7, 3.9, 1e-3, 1.2, 0.9, 2.0, 0.6, 5.0, 1.1]).double()
NUM_DRAWS = 2000


def masked(loss, gt_classes, rows=None, weights=None):
    """A mask of some of the rows, with the lists that belong to them."""
    known = known_negatives_of(loss, gt_classes)
    rows = torch.arange(len(gt_classes)) if rows is None else rows
    return loss.draw_mask(gt_classes[rows], None if known is None else known[rows], weights)


def is_random(cls, hyper, stats) -> bool:
    loss = cls(K, stats, **hyper)
    # Classes that are not there can be drawn, others of a group, and background beside a tail.
    for labels in ([0, K] * 6, [2] + [K] * 11, [0, 3, K] * 4):
        gt_classes = torch.tensor(labels)
        masks = []
        for seed in range(8):
            torch.manual_seed(seed)
            masks.append(masked(loss, gt_classes))
        if any(mask is not None and not mask.equal(masks[0]) for mask in masks):
            return True
    return False


def sums_of(loss) -> dict[str, torch.Tensor]:
    """The running statistics; a count of steps is none of RoIs."""
    state = loss.state_dict().items()
    return {
        name: value.clone()
        for name, value in state
        if not name.startswith("class_stats.") and value.is_floating_point()
    }


def value_of(loss, logits, gt_classes, rows=None, weights=None):
    """The mean loss of a step, its mask, and the statistics after it."""
    rows = torch.arange(len(gt_classes)) if rows is None else rows
    mask = masked(loss, gt_classes, rows, weights)
    value = mean_over_rows(loss(logits[rows], gt_classes[rows], mask), weights)
    loss.update_state(logits[rows], gt_classes[rows], weights)
    return value, mask, sums_of(loss)


@every_variant
def test_integer_weights_are_copies(cls, hyper, class_stats):
    """Two steps, so that the statistics of the first are in the loss of the second."""
    if is_random(cls, hyper, class_stats):
        pytest.skip("its expectation is compared below")
    weighted, copied = cls(K, class_stats, **hyper), cls(K, class_stats, **hyper)
    rows = torch.arange(len(COPIES)).repeat_interleave(COPIES)
    for _ in range(2):
        logits, gt_classes = inputs(weighted)
        value, mask, sums = value_of(weighted, logits, gt_classes, weights=COPIES.double())
        expected, mask_of_copies, sums_of_copies = value_of(copied, logits, gt_classes, rows)
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
        torch.testing.assert_close(sums, sums_of_copies, rtol=1e-12, atol=1e-15)
        if mask is not None:
            torch.testing.assert_close(mask[rows], mask_of_copies, rtol=1e-12, atol=0)


@every_variant
def test_a_weight_of_zero_is_absence(cls, hyper, class_stats):
    if is_random(cls, hyper, class_stats):
        pytest.skip("its expectation is compared below")
    weighted, absent = cls(K, class_stats, **hyper), cls(K, class_stats, **hyper)
    logits, gt_classes = inputs(weighted)
    (rows,) = COPIES.nonzero(as_tuple=True)
    weights = REAL * (COPIES > 0)
    value, _, sums = value_of(weighted, logits, gt_classes, weights=weights)
    expected, _, expected_sums = value_of(absent, logits, gt_classes, rows, weights[rows])
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(sums, expected_sums, rtol=1e-12, atol=1e-15)


@every_variant
def test_no_rows_of_weight_above_zero_is_an_empty_batch(cls, hyper, class_stats):
    loss = cls(K, class_stats, **hyper)
    logits, gt_classes = inputs(loss)
    before = sums_of(loss)
    value, _, sums = value_of(loss, logits, gt_classes, weights=torch.zeros(len(COPIES)))
    assert value == 0
    torch.testing.assert_close(sums, before, rtol=0, atol=0)


@every_variant
@pytest.mark.parametrize("scale", [1e-4, 7.3])
def test_the_mean_does_not_change_when_all_weights_are_scaled(cls, hyper, scale, class_stats):
    """What is drawn neither: from one seed the same rows are."""
    loss = cls(K, class_stats, **hyper)
    logits, gt_classes = inputs(loss)
    values = []
    for weights in (REAL, scale * REAL):
        torch.manual_seed(5)
        mask = masked(loss, gt_classes, weights=weights)
        values.append(mean_over_rows(loss(logits, gt_classes, mask), weights))
    torch.testing.assert_close(*values, rtol=1e-10, atol=0)


@every_variant
def test_statistics_are_linear_in_the_weights(cls, hyper, class_stats):
    """Those of means (LOCE's scores) do not change when all weights are scaled."""
    other = REAL.flip(0)

    def change(weights):
        loss = cls(K, class_stats, **hyper)
        logits, gt_classes = inputs(loss)
        before = sums_of(loss)
        loss.update_state(logits, gt_classes, weights)
        return {name: value - before[name] for name, value in sums_of(loss).items()}

    def seeded_change(weights):
        torch.manual_seed(1)
        return change(weights)

    whole = seeded_change(0.5 * REAL + 2 * other)
    if cls.__name__ == "EquilibriumLoss":
        if not hyper.get("per_roi"):
            scaled = seeded_change(7.3 * (0.5 * REAL + 2 * other))
            torch.testing.assert_close(scaled, whole, rtol=1e-12, atol=0)
        return
    first, second = seeded_change(REAL), seeded_change(other)
    parts = {name: 0.5 * first[name] + 2 * second[name] for name in whole}
    torch.testing.assert_close(whole, parts, rtol=1e-11, atol=1e-14)


RANDOM = ["ACSLLoss", "BalancedGroupSoftmaxLoss", "DropLoss", "FederatedLoss", "SoftmaxEQLLoss"]
# Settings under which the toy batch sees them draw.
DRAWING = {
    "ACSLLoss": {"background_shares": (0.3, 0.6, 0.9)},
    "BalancedGroupSoftmaxLoss": {"others_ratio": 1.0},
    "DropLoss": {"threshold": 0.2},
    "FederatedLoss": {"federated_classes": 3},
    "SoftmaxEQLLoss": {"threshold": 0.2},
}


def _drawing():
    """Every loss that draws, and one with what all sigmoid losses may draw besides."""
    for cls in LOSSES:
        if cls.__name__ in RANDOM:
            yield pytest.param(cls, DRAWING[cls.__name__], id=cls.__name__)
    yield next(variant for variant in VARIANTS if variant.id == "DropLoss-all settings")


@pytest.mark.parametrize(("cls", "hyper"), list(_drawing()))
def test_the_expectation_of_what_is_drawn_is_that_of_copies(cls, hyper, class_stats):
    """Of mask and mean loss, over 2,000 draws each."""
    loss = cls(K, class_stats, **hyper)
    logits, _ = inputs(loss)
    # No RoI of class 3, and class 1 only in rows that stand for none.
    gt_classes = torch.tensor([0, K, 2, 0, K, 1, K, K, 2, K, 1, K])
    rows = torch.arange(len(COPIES)).repeat_interleave(COPIES)
    masks, means = [], []
    for drawn, weights in ((torch.arange(len(COPIES)), COPIES.double()), (rows, None)):
        batch = logits[drawn], gt_classes[drawn]
        draws = [masked(loss, gt_classes, drawn, weights) for _ in range(NUM_DRAWS)]
        means.append(torch.stack([mean_over_rows(loss(*batch, mask), weights) for mask in draws]))
        masks.append(torch.stack([mask.double() for mask in draws]))
    assert_same_mean(*means, errors=3)
    # Of several hundred elements one may be further off than three standard errors.
    assert_same_mean(masks[0][:, rows], masks[1], errors=5)


def assert_same_mean(first, second, errors):
    variance = first.var(dim=0) / len(first) + second.var(dim=0) / len(second)
    difference = (first.mean(dim=0) - second.mean(dim=0)).abs()
    assert (difference <= errors * variance.sqrt() + 1e-12).all()


def test_every_loss_that_draws_is_among_them(class_stats):
    names = {
        variant.values[0].__name__
        for variant in VARIANTS
        if not variant.values[1].get("federated_classes")
        and is_random(*variant.values, class_stats)
    }
    assert names | {"FederatedLoss"} == set(RANDOM)
