"""FASA: running Gaussians, probabilities, draws and adaptation by hand."""

import math

import pytest
import torch

from lt_det.class_stats import ClassStats
from lt_det.losses.base import ClassStatsBuffers
from lt_det.modeling import FASAAugmentation

K, D = 4, 3


def fasa(num_classes=K, feature_size=D, **options):
    return FASAAugmentation(num_classes, feature_size, **{"warmup": 0, **options})


def observe(augmentation, rows):
    """``rows``: pairs of a class and its feature."""
    features = torch.tensor([feature for _, feature in rows]).reshape(-1, augmentation.feature_size)
    classes = torch.tensor([class_id for class_id, _ in rows], dtype=torch.long)
    augmentation.observe(features, classes, torch.zeros(len(rows)))
    augmentation.num_steps += 1


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def stats(class_stats):
    """Instance counts 400, 900, 15, 2."""
    buffers = ClassStatsBuffers(K)
    buffers.assign(class_stats)
    return buffers


# --- running mean and variance -----------------------------------------------------------------


def test_statistics_by_hand():
    augmentation = fasa(feature_size=2)
    observe(augmentation, [(0, [1.0, 2.0]), (2, [5.0, 5.0]), (0, [3.0, 6.0])])
    # The first step is taken as it is; unbiased variance (1 + 1) / 1 and (4 + 4) / 1.
    assert augmentation.mean[[0, 2]].tolist() == [[2, 4], [5, 5]]
    assert augmentation.variance[[0, 2]].tolist() == [[2, 8], [0, 0]]
    assert augmentation.is_observed.tolist() == [True, False, True, False]
    observe(augmentation, [(0, [0.0, 0.0])])
    # A single feature counts as one of variance 0, as released.
    expected = [[0.9 * 2, 0.9 * 4], [0.9 * 2, 0.9 * 8]]
    torch.testing.assert_close(augmentation.mean[0], torch.tensor(expected[0]))
    torch.testing.assert_close(augmentation.variance[0], torch.tensor(expected[1]))
    assert augmentation.mean[2].tolist() == [5, 5]


def test_statistics_against_torch():
    augmentation, momentum = fasa(feature_size=5, momentum=0.3), 0.3
    mean, variance = {}, {}
    for step in range(6):
        features = torch.randn(20, 5, generator=generator(step)) * 3 + 7
        classes = torch.randint(0, K - 1, (20,), generator=generator(50 + step))
        augmentation.observe(features, classes, torch.zeros(20))
        for c in set(classes.tolist()):
            var, mu = torch.var_mean(features[classes == c], dim=0, correction=1)
            var = var.nan_to_num(0.0)
            mean[c] = mu if c not in mean else mean[c] + momentum * (mu - mean[c])
            variance[c] = var if c not in variance else variance[c] + momentum * (var - variance[c])
    for c in mean:
        torch.testing.assert_close(augmentation.mean[c], mean[c])
        torch.testing.assert_close(augmentation.variance[c], variance[c], rtol=1e-5, atol=1e-5)
    assert not augmentation.is_observed[K - 1]


# --- probabilities -----------------------------------------------------------------------------


def test_probabilities_by_hand(stats):
    inverse = [1 / 400, 1 / 900, 1 / 15, 1 / 2]
    share = torch.tensor([v / sum(inverse) for v in inverse], dtype=torch.float64)
    torch.testing.assert_close(fasa().sampling_probs(stats), share)
    torch.testing.assert_close(fasa(power=0.5).sampling_probs(stats), share.sqrt())
    capped = (2 * share).clamp(max=1)
    assert capped.max() == 1
    torch.testing.assert_close(fasa(scale=2.0).sampling_probs(stats), capped)


def test_a_class_that_is_never_seen_is_the_likeliest_and_yet_finite():
    buffers = ClassStatsBuffers(2)
    buffers.assign(ClassStats(2, 9, [9, 0], [9, 0]))
    probs = fasa(num_classes=2).sampling_probs(buffers)
    torch.testing.assert_close(probs, torch.tensor([1 / 19, 18 / 19], dtype=torch.float64))


def test_without_class_statistics_it_says_what_is_missing():
    with pytest.raises(ValueError, match=r"needs class statistics.*DATASETS\.TRAIN"):
        fasa().sampling_probs(ClassStatsBuffers(K))


# --- virtual features --------------------------------------------------------------------------


def test_virtual_features_have_the_classes_statistics(stats):
    number = 40_000
    augmentation = fasa(draws=number)
    observe(augmentation, [(c, [0.0] * D) for c in (0, 2, 3)])
    augmentation.mean += torch.arange(K)[:, None] + torch.tensor([0.0, 10.0, 20.0])
    augmentation.variance += torch.arange(1.0, K + 1)[:, None].square()
    rows = augmentation.generate(stats, generator())
    counts = torch.bincount(rows.gt_classes, minlength=K).double()
    probs = augmentation.sampling_probs(stats)
    assert counts[1] == 0  # it has no statistics yet
    for c in (0, 2, 3):
        expected = number * probs[c]
        assert abs(counts[c] - expected) < 4 * (expected * (1 - probs[c])).sqrt()
        features = rows.features[rows.gt_classes == c]
        error = (c + 1) / math.sqrt(len(features))
        torch.testing.assert_close(
            features.mean(dim=0), augmentation.mean[c], rtol=0, atol=4.5 * error
        )
        torch.testing.assert_close(features.std(dim=0) / (c + 1), torch.ones(D), rtol=0.15, atol=0)


def test_a_draw_weighs_its_mean_and_an_empty_one_nothing(stats):
    augmentation = fasa(draws=500, weight=0.3)
    observe(augmentation, [(c, [0.0] * D) for c in range(K)])
    rows = augmentation.generate(stats, generator(5))
    uniform = torch.rand(500, K, dtype=torch.float64, generator=generator(5))
    emitted = uniform < augmentation.sampling_probs(stats)
    per_draw = emitted.sum(dim=1)
    assert set(per_draw.tolist()) >= {0, 1, 2}
    expected = torch.cat([torch.full((int(n),), 0.3 / 500 / n) for n in per_draw if n])
    torch.testing.assert_close(rows.weights, expected)
    assert rows.gt_classes.tolist() == emitted.nonzero()[:, 1].tolist()
    assert not rows.as_rois


def test_warm_up_and_nothing_drawn(stats):
    augmentation = fasa(warmup=2, scale=1e9)
    for expected in (False, False, True):
        observe(augmentation, [(1, [1.0] * D)])
        assert (augmentation.generate(stats, generator()) is not None) == expected
    assert fasa(scale=0.0).generate(stats, generator()) is None


# --- adaptation --------------------------------------------------------------------------------


def adapted(augmentation, stats, *losses):
    """What the losses make of the probabilities, as factors."""
    before = augmentation.sampling_probs(stats)
    for loss in losses:
        augmentation.adapt(torch.tensor(loss), stats)
    return augmentation.sampling_probs(stats) / before


def alone(**options):
    """So unlikely to be drawn that no probability reaches 1."""
    return fasa(groups="class", scale=0.1, **options)


def test_classes_alone_by_hand(stats):
    # Falls, rises, stays, falls; then falls, falls, rises, rises.
    steps = [[4.0, 4.0, 4.0, 4.0], [3.0, 5.0, 4.0, 3.9], [2.0, 4.0, 4.1, 4.0]]
    factors = adapted(alone(), stats, *steps[:1])
    assert factors.tolist() == [1] * K  # nothing to compare with
    factors = adapted(alone(), stats, *steps[:2])
    torch.testing.assert_close(factors, torch.tensor([1.1, 0.9, 1, 1.1]).double())
    factors = adapted(alone(up=1.2, down=0.5), stats, *steps)
    torch.testing.assert_close(factors, torch.tensor([1.44, 0.6, 0.5, 0.6]).double())


def test_no_probability_exceeds_1_and_one_at_1_comes_down_at_once(stats):
    augmentation = fasa(groups="class")
    for step in range(10):
        augmentation.adapt(torch.full((K,), 9.0 - step / 2), stats)
    probs = augmentation.sampling_probs(stats)
    assert probs[3].item() == pytest.approx(1, rel=1e-12)
    augmentation.adapt(torch.full((K,), 99.0), stats)
    torch.testing.assert_close(augmentation.sampling_probs(stats), 0.9 * probs)


CLOSE = [(0, [0.0, 0.0, 0.0]), (1, [9.0, 9.0, 9.0]), (2, [0.1, 0.0, 0.2]), (3, [9.1, 9.0, 9.3])]


def groups_of(augmentation):
    names = augmentation.class_groups().tolist()
    return {frozenset(c for c in range(len(names)) if names[c] == name) for name in set(names)}


def test_groups_are_of_classes_with_close_means(stats):
    augmentation = fasa(scale=0.1)
    observe(augmentation, CLOSE)
    assert groups_of(augmentation) == {frozenset({0, 2}), frozenset({1, 3})}
    # The sum of a group decides: -2 + 1 and -2 + 3.
    factors = adapted(augmentation, stats, [5.0, 5.0, 5.0, 5.0], [3.0, 3.0, 6.0, 8.0])
    torch.testing.assert_close(factors, torch.tensor([1.1, 0.9, 1.1, 0.9]).double())


def test_released_groups_are_of_classes_far_apart():
    augmentation = fasa(groups="released")
    observe(augmentation, CLOSE)
    # Distances handed over as similarities.
    assert any(len(group & {0, 2}) and len(group & {1, 3}) for group in groups_of(augmentation))
    assert groups_of(augmentation) != {frozenset({0, 2}), frozenset({1, 3})}


def test_classes_without_features_are_groups_of_their_own():
    augmentation = fasa(num_classes=6)
    observe(augmentation, [(c + 1, feature) for c, feature in CLOSE])
    groups = {frozenset({0}), frozenset({1, 3}), frozenset({2, 4}), frozenset({5})}
    assert groups_of(augmentation) == groups
