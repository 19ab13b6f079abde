"""The Meta Sampler's distribution and estimator, by enumeration of toy sets."""

import itertools
import math

import pytest
import torch
from detectron2.data.samplers import RepeatFactorTrainingSampler

from lt_det.data.image_distribution import ImageDistribution, score_function_gradient

K = 4
# One picture without annotations; class 3 is in a single picture.
CLASSES = [[0], [0, 1], [1, 2, 0], [], [2], [3, 0], [0]]
N = len(CLASSES)
PHI = torch.tensor([-1.0, 0.4, 1.5, 0.2], dtype=torch.float64)
ALL = torch.arange(N)


def repeat_factors():
    records = [{"annotations": [{"category_id": c} for c in classes]} for classes in CLASSES]
    factors = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(records, 0.6)
    assert len(set(factors.tolist())) > 2
    return factors


@pytest.fixture
def distribution():
    return ImageDistribution(CLASSES, repeat_factors(), K)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def probabilities_in_a_loop(phi):
    """Two levels, from DESIGN.md: a class by A_c sigma_c, then a picture by r / (|C| A_c)."""
    factors = repeat_factors().double().tolist()
    rates = [*(sigmoid(v) for v in phi), 0.5]
    sets = [classes or [K] for classes in CLASSES]
    pairs = list(zip(factors, sets, strict=True))
    mass = [sum(r / len(s) for r, s in pairs if c in s) for c in range(K + 1)]
    total = sum(m * s for m, s in zip(mass, rates, strict=True))
    class_probs = [m * s / total for m, s in zip(mass, rates, strict=True)]
    image_probs = [sum(class_probs[c] * r / (len(s) * mass[c]) for c in s) for r, s in pairs]
    return class_probs, image_probs


# --- the distribution --------------------------------------------------------------------------


def test_equals_the_two_level_draw(distribution):
    class_probs, image_probs = probabilities_in_a_loop(PHI.tolist())
    assert distribution.class_probs(PHI).tolist() == pytest.approx(class_probs, rel=1e-14)
    assert distribution.log_probs(PHI).exp().tolist() == pytest.approx(image_probs, rel=1e-14)
    assert sum(image_probs) == pytest.approx(1, rel=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_is_repeat_factor_sampling(distribution, dtype):
    phi = torch.zeros(K, dtype=dtype)
    expected = repeat_factors().double() / repeat_factors().double().sum()
    torch.testing.assert_close(distribution.log_probs(phi).exp(), expected, rtol=1e-15, atol=0)


def test_a_subset_in_any_order(distribution):
    images = torch.tensor([6, 2, 2, 3])
    torch.testing.assert_close(
        distribution.log_probs(PHI, images), distribution.log_probs(PHI)[images], rtol=0, atol=0
    )


def test_responsibilities_are_bayes(distribution):
    """P(c | I) = p_c P(I | c) / P(I)."""
    class_probs, image_probs = probabilities_in_a_loop(PHI.tolist())
    factors = repeat_factors().double().tolist()
    actual = distribution.responsibilities(PHI, ALL)
    for image, classes in enumerate(CLASSES):
        for c in range(K + 1):
            inside = c in (classes or [K])
            given = factors[image] / len(classes or [K]) / distribution.class_mass[c].item()
            expected = class_probs[c] * given / image_probs[image] if inside else 0
            assert actual[image, c].item() == pytest.approx(expected, rel=1e-13, abs=0)


def test_score_is_the_derivative(distribution):
    jacobian = torch.autograd.functional.jacobian(distribution.log_probs, PHI)
    score = distribution.score(PHI, ALL)
    assert score.shape == (N, K)
    assert ((score - jacobian).abs().max() / jacobian.abs().max()).item() < 1e-14
    step = 1e-6
    for c in range(K):
        moved = step * torch.eye(K, dtype=torch.float64)[c]
        ahead, behind = distribution.log_probs(PHI + moved), distribution.log_probs(PHI - moved)
        torch.testing.assert_close(score[:, c], (ahead - behind) / (2 * step), rtol=1e-7, atol=1e-9)


def test_expected_score_is_zero(distribution):
    probs = distribution.log_probs(PHI).exp()
    assert (probs @ distribution.score(PHI, ALL)).abs().max() < 1e-15


def test_a_class_without_pictures_is_never_drawn():
    distribution = ImageDistribution([[0], [2], [0, 2]], torch.ones(3), 3)
    phi = torch.zeros(3)
    assert distribution.class_probs(phi)[1] == 0
    assert (distribution.score(phi, torch.arange(3))[:, 1] == 0).all()
    assert len(distribution.draw(phi, 100, torch.Generator())) == 100


def test_importance_ratio(distribution):
    now, before = PHI, torch.zeros(K, dtype=torch.float64)
    images = torch.tensor([5, 0, 3])
    ratios = distribution.importance_ratios(now, images, distribution.log_probs(before, images))
    _, new = probabilities_in_a_loop(now.tolist())
    _, old = probabilities_in_a_loop(before.tolist())
    assert ratios.tolist() == pytest.approx([new[i] / old[i] for i in (5, 0, 3)], rel=1e-13)


# --- draws -------------------------------------------------------------------------------------


@pytest.mark.parametrize("phi", [torch.zeros(K), PHI], ids=["repeat-factor", "learned"])
def test_draws_follow_the_distribution(distribution, phi):
    """Chi-square over the 7 pictures, 6 degrees of freedom, 20,000 draws, against 22.46, the 0.999
    quantile. Were the rarest picture drawn 20 % too often, 98 of 100 seeds would fail.
    """
    num = 20_000
    draws = distribution.draw(phi, num, torch.Generator().manual_seed(1))
    count = torch.bincount(draws, minlength=N)
    expected = num * torch.tensor(probabilities_in_a_loop(phi.tolist())[1])
    assert ((count - expected) ** 2 / expected).sum() < 22.46


def test_draws_are_reproducible(distribution):
    first, second, other = (
        distribution.draw(PHI, 50, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)
    )
    assert first.equal(second)
    assert not first.equal(other)


# --- the estimator -----------------------------------------------------------------------------

LR = 0.1
# What a picture's loss adds to the inner gradient, and the outer gradient it is seen through.
IMAGE_GRADIENT = torch.linspace(-1, 1, N * 3, dtype=torch.float64).sin().reshape(N, 3) * 2
GAMMA = torch.tensor([0.3, -1.0, 0.5], dtype=torch.float64)


def expectation(distribution, num, estimate, drawn_phi):
    """Over every possible batch of ``num`` pictures."""
    probs = distribution.log_probs(drawn_phi).exp()
    total = torch.zeros(K, dtype=torch.float64)
    for batch in itertools.product(range(N), repeat=num):
        batch = torch.tensor(batch)
        total += probs[batch].prod() * estimate(batch)
    return total


def estimator(distribution, drawn_phi, gamma_of):
    def estimate(batch):
        values = -LR / len(batch) * IMAGE_GRADIENT[batch] @ gamma_of(batch)
        drawn = distribution.log_probs(drawn_phi, batch)
        ratios = distribution.importance_ratios(PHI, batch, drawn)
        return score_function_gradient(values, distribution.score(PHI, batch), ratios)

    return estimate


def relative_error(actual, expected):
    return ((actual - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize("drawn_phi", [PHI, torch.zeros(K).double(), -PHI], ids=["same", "0", "-"])
@pytest.mark.parametrize("num", [1, 2, 3])
def test_estimator_is_unbiased_through_a_fixed_outer_gradient(distribution, num, drawn_phi):
    """Its expectation is d/dphi of the outer loss, linear here, after the expected step."""
    phi = PHI.clone().requires_grad_()
    expected_step = -LR * distribution.log_probs(phi).exp() @ IMAGE_GRADIENT
    (truth,) = torch.autograd.grad(GAMMA @ expected_step, phi)
    estimate = estimator(distribution, drawn_phi, lambda batch: GAMMA)
    assert relative_error(expectation(distribution, num, estimate, drawn_phi), truth) < 1e-12


def test_the_bias_of_a_curved_outer_loss_is_of_second_order(distribution):
    """Against d/dphi E[outer(theta')] by enumeration: the relative error falls with the rate."""
    curvature = torch.diag(torch.tensor([2.0, 0.5, 1.0], dtype=torch.float64))
    errors = []
    for lr in (0.1, 0.01, 0.001):

        def theta(batch, lr=lr):
            return GAMMA - lr * IMAGE_GRADIENT[batch].mean(dim=0)

        phi = PHI.clone().requires_grad_()
        probs = distribution.log_probs(phi).exp()
        outer = sum(
            probs[list(batch)].prod()
            * (theta(list(batch)) @ curvature @ theta(list(batch)) / 2 + theta(list(batch)).sum())
            for batch in itertools.product(range(N), repeat=2)
        )
        (truth,) = torch.autograd.grad(outer, phi)
        estimate = estimator(distribution, PHI, lambda b, t=theta: curvature @ t(b) + 1)
        actual = expectation(distribution, 2, estimate, PHI) * (lr / LR)
        errors.append(relative_error(actual, truth))
    assert errors[0] < 0.2
    assert errors[1] == pytest.approx(errors[0] / 10, rel=0.3)
    assert errors[2] == pytest.approx(errors[1] / 10, rel=0.1)


def test_the_baseline_takes_away_variance(distribution):
    """A constant in all values, which says nothing about any class, leaves the estimate alone."""
    batch = torch.tensor([1, 4, 5])
    scores = distribution.score(PHI, batch)
    values = torch.tensor([0.3, -0.2, 0.7], dtype=torch.float64)
    torch.testing.assert_close(
        score_function_gradient(values + 100, scores), score_function_gradient(values, scores)
    )


def test_two_ranks_add_up(distribution):
    batch = torch.tensor([1, 4, 5, 0, 6])
    values, ratios = torch.randn(5).double(), torch.rand(5).double() + 0.5
    scores = distribution.score(PHI, batch)
    whole = score_function_gradient(values, scores, ratios)
    total = (ratios * values).sum()
    parts = [
        score_function_gradient(values[rows], scores[rows], ratios[rows], total, 5)
        for rows in (slice(0, 1), slice(1, 5), slice(5, 5))
    ]
    torch.testing.assert_close(sum(parts), whole, rtol=1e-13, atol=1e-15)


def test_float32_values_of_the_classifier(distribution):
    batch = torch.tensor([1, 4])
    values = torch.tensor([0.25, -0.5])
    scores = distribution.score(PHI, batch)
    single = score_function_gradient(values, scores)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), score_function_gradient(values.double(), scores))


# --- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "factors", "message"),
    [
        ([[0], [1]], torch.ones(3), r"`repeat_factors` of 2 pictures.*\(3,\)"),
        ([], torch.ones(0), r"at least one"),
        ([[0], [1]], torch.tensor([1.0, 0.0]), r"`repeat_factors`.*> 0.*picture 1 has 0.0"),
        ([[0], [1]], torch.tensor([math.nan, 1.0]), r"`repeat_factors`.*picture 0 has nan"),
        ([[0], [K]], torch.ones(2), rf"\[0, {K}\), but picture 1.*\[{K}\].*NUM_CLASSES"),
        ([[-1], [0]], torch.ones(2), r"picture 0 has \[-1\]"),
        ([[0], [1, 1]], torch.ones(2), r"picture 1 names a class twice: \[1, 1\]"),
    ],
)
def test_invalid_input_is_named(classes, factors, message):
    with pytest.raises(ValueError, match=message):
        ImageDistribution(classes, factors, K)
