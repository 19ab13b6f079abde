"""The Meta Sampler's stream: exactly repeat-factor sampling at phi = 0, unbiased, reproducible."""

import itertools
from collections import Counter

import pytest
import torch
from detectron2.data.samplers import RepeatFactorTrainingSampler

from lt_det.data.meta_plan import GroupedImages, MetaBatchPlan
from lt_det.data.stream import Place, ResumableLoader, SeededDataset

K = 3
CLASSES = [[0], [0, 1], [0, 2], [1], [2], [], [0, 1, 2]]
FACTORS = torch.tensor([1.0, 2.0, 1.5, 1.0, 3.0, 1.0, 2.5], dtype=torch.float64)
KIND = [0, 1, 0, 1, 0, 1, 0]
PHI = torch.tensor([0.4, -1.0, 0.8], dtype=torch.float64)
OTHER_PHI = torch.tensor([-0.2, 0.5, 0.1], dtype=torch.float64)


@pytest.fixture(params=[None, KIND], ids=["ungrouped", "grouped"])
def images(request):
    return GroupedImages(CLASSES, FACTORS, request.param, K)


def batch_probability(images, phi, batch) -> float:
    """By the definition: the kind's probability, then each picture's within the kind."""
    probs = torch.zeros(len(CLASSES), dtype=torch.float64)
    for image, classes in enumerate(CLASSES):
        rates = phi[classes].sigmoid() if classes else torch.tensor([0.5], dtype=torch.float64)
        probs[image] = FACTORS[image] * rates.mean()
    probs /= probs.sum()
    kinds = [KIND[i] if len(images._parts) > 1 else 0 for i in range(len(CLASSES))]
    if len({kinds[i] for i in batch}) > 1:
        return 0.0
    kind = torch.tensor(kinds) == kinds[batch[0]]
    of_kind = probs[kind].sum()
    return float(of_kind * torch.stack([probs[i] / of_kind for i in batch]).prod())


@pytest.mark.parametrize("drawn_phi", [PHI, OTHER_PHI], ids=["on policy", "lagging"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_estimator_is_unbiased(images, size, drawn_phi):
    """Its expectation over all batches is the derivative of the expected sum of the values."""
    value = torch.tensor([1.0, -2.0, 0.5, 3.0, -1.0, 0.7, 2.0], dtype=torch.float64)
    expectation, mass = torch.zeros(K, dtype=torch.float64), 0.0
    for batch in itertools.product(range(len(CLASSES)), repeat=size):
        probability = batch_probability(images, drawn_phi, batch)
        if probability:
            index = torch.tensor(batch)
            gradient = images.rate_gradient(PHI, drawn_phi, index, value[index])
            expectation += probability * gradient
            mass += probability
    assert mass == pytest.approx(1, abs=1e-12)
    phi = PHI.clone().requires_grad_()
    probs = images.log_probs(phi, torch.arange(len(CLASSES))).exp()
    (expected,) = torch.autograd.grad(size * (probs * value).sum(), phi)
    torch.testing.assert_close(expectation, expected, rtol=1e-10, atol=1e-12)


def test_a_common_offset_of_the_values_cancels(images):
    """The baseline takes it away, but for the score of the kind, which needs to see it."""
    phi = PHI.clone().requires_grad_()
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        batch = images.draw(PHI, 4, generator)
        found = images.rate_gradient(PHI, PHI, batch, torch.full((4,), 100.0))
        expected = torch.zeros(K, dtype=torch.float64)
        if len(images._parts) > 1:
            of_kind = torch.tensor(KIND) == KIND[batch[0]]
            log_kind = images.log_probs(phi, torch.arange(len(CLASSES)))[of_kind].logsumexp(0)
            (expected,) = torch.autograd.grad(400 * log_kind, phi)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def draws(plan, number):
    return [[(p.index, p.version) for p in b] for b in itertools.islice(iter(plan), number)]


# The 0.999 quantile of chi-square with 6 degrees of freedom.
CHI_SQUARE = 22.458


def test_at_phi_0_draws_are_those_of_detectron2s_repeat_factors(images):
    """Chi-square of 20,000 draws, 6 degrees of freedom, at the 0.999 quantile; a picture drawn 20 %
    too often would be found in 98 of 100 cases."""
    plan = MetaBatchPlan(images, 4, K, seed=3, lag=10**9)
    counts = Counter(i for batch in draws(plan, 5000) for i, _ in batch)
    # Detectron2's sampler: r(I) visits an epoch in expectation.
    epoch = RepeatFactorTrainingSampler(FACTORS.float(), seed=0)
    visits = Counter(itertools.islice(epoch, 13 * 4000))
    total = sum(visits.values())
    for image in range(len(CLASSES)):
        share = visits[image] / total
        assert share == pytest.approx(float(FACTORS[image] / FACTORS.sum()), rel=0.02)
    expected = FACTORS / FACTORS.sum() * 20_000
    # Pictures of a batch share their kind: with groups, draws of 4 go together.
    statistic = sum((counts[i] - float(e)) ** 2 / float(e) for i, e in enumerate(expected))
    design_effect = 4 if len(images._parts) > 1 else 1
    assert statistic < design_effect * CHI_SQUARE


def test_a_batch_is_of_one_kind_and_knows_its_version():
    plan = MetaBatchPlan(GroupedImages(CLASSES, FACTORS, KIND, K), 3, K, seed=1, lag=2)
    batches, stream = [], iter(plan)
    for number in range(30):
        batches.append(next(stream))
        plan.set_phi(number + 1, PHI * number)
    for number, batch in enumerate(batches):
        assert len({KIND[place.index] for place in batch}) == 1
        assert [place.position for place in batch] == [3 * number + i for i in range(3)]
        assert {place.version for place in batch} == {max(number - 2, 0)}
    assert {KIND[batch[0].index] for batch in batches} == {0, 1}
    # Versions that no batch to come needs are gone.
    assert list(plan.state_dict()) == [28, 29, 30]


def test_rates_are_followed_after_the_lag(images):
    """Class 1 alone, once its rate is all there is."""
    plan = MetaBatchPlan(images, 2, K, seed=0, lag=3)
    stream, shown = iter(plan), []
    only_1 = torch.tensor([-40.0, 40.0, -40.0], dtype=torch.float64)
    for number in range(60):
        shown.append([place.index for place in next(stream)])
        plan.set_phi(number + 1, only_1)
    assert any(1 not in CLASSES[i] for batch in shown[:4] for i in batch)
    # Picture 5, without objects, keeps its own rate.
    late = {i for batch in shown[4:] for i in batch}
    assert late <= {1, 3, 5, 6}
    assert {1, 3, 6} <= late


def passthrough(record):
    return record


def loaded(start, num_workers, number, lag=4):
    images = GroupedImages(CLASSES, FACTORS, KIND, K)
    plan = MetaBatchPlan(images, 2, K, seed=5, lag=lag)
    plan.load_state_dict({v: PHI * v for v in range(max(start - lag, 0), start + 1)})
    records = [{"id": i} for i in range(len(CLASSES))]
    loader = ResumableLoader(SeededDataset(records, passthrough, 0), plan, num_workers)
    loader.start_batch = start
    batches = []
    for step, batch in enumerate(itertools.islice(loader, number), start=start):
        batches.append([record["place"] for record in batch])
        plan.set_phi(step + 1, PHI * (step + 1))
    return batches


@pytest.mark.parametrize(("start", "num_workers"), [(0, 2), (0, 4), (6, 0), (6, 1), (6, 3)])
def test_any_workers_and_any_start_give_one_stream(start, num_workers):
    assert loaded(start, num_workers, 14 - start) == loaded(0, 0, 14)[start:]


def test_two_ranks_share_the_batches_of_one(images, monkeypatch):
    whole = list(itertools.islice(MetaBatchPlan(images, 4, K, 0, 2**30), 5))
    shares = []
    for rank in range(2):
        monkeypatch.setattr("detectron2.utils.comm.get_rank", lambda rank=rank: rank)
        monkeypatch.setattr("detectron2.utils.comm.get_world_size", lambda: 2)
        shares.append(list(itertools.islice(MetaBatchPlan(images, 4, K, 0, 2**30), 5)))
    for batch, a, b in zip(whole, *shares, strict=True):
        assert [p for pair in zip(a, b, strict=True) for p in pair] == batch
        assert all(isinstance(place, Place) for place in batch)


def test_a_negative_lag_is_refused(images):
    with pytest.raises(ValueError, match=r"SAMPLER.LAG to be at least 0, but got -1"):
        MetaBatchPlan(images, 2, K, 0, -1)
