"""The feature memory: rings, mean scores and draws by hand."""

import pytest
import torch

from lt_det.losses.base import ClassStatsBuffers
from lt_det.modeling import FeatureMemoryAugmentation

K, D = 4, 2


def memory(**options):
    return FeatureMemoryAugmentation(K, D, **{"dtype": "float32", **options})


def observe(augmentation, rows):
    """``rows``: triples of class, feature (both numbers of it alike) and own probability."""
    classes, values, probs = zip(*rows, strict=True) if rows else ((), (), ())
    features = torch.tensor(values, dtype=torch.float32)[:, None].expand(-1, D)
    augmentation.observe(features, torch.tensor(classes, dtype=torch.long), torch.tensor(probs))


def ring(augmentation, class_id):
    number = int(augmentation.num_stored[class_id].clamp(max=augmentation.size))
    stored = augmentation.memory[class_id, :number]
    assert stored[:, 0].equal(stored[:, 1])
    return stored[:, 0].tolist()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def generate(augmentation, seed=0):
    return augmentation.generate(ClassStatsBuffers(K), generator(seed))


def test_a_ring_keeps_the_last_features():
    augmentation = memory(size=3)
    observe(augmentation, [(1, 10, 0.0), (2, 20, 0.0), (1, 11, 0.0)])
    assert (ring(augmentation, 1), ring(augmentation, 2)) == ([10, 11], [20])
    observe(augmentation, [(1, 12, 0.0), (1, 13, 0.0)])
    assert ring(augmentation, 1) == [13, 11, 12]
    # Of more than there is room for, the first ones.
    observe(augmentation, [(1, value, 0.0) for value in range(30, 37)])
    assert ring(augmentation, 1) == [32, 30, 31]
    assert ring(augmentation, 0) == ring(augmentation, 3) == []
    observe(augmentation, [])
    assert ring(augmentation, 1) == [32, 30, 31]


def test_rings_against_a_slow_deque():
    augmentation = memory(size=5)
    kept = {c: [] for c in range(K)}
    rng = torch.Generator().manual_seed(3)
    value = 0
    for _ in range(30):
        classes = torch.randint(
            0, K, (int(torch.randint(0, 12, (), generator=rng)),), generator=rng
        )
        rows = []
        for c in classes.tolist():
            value += 1
            rows.append((c, value, 0.5))
        observe(augmentation, rows)
        for c in range(K):
            kept[c] = (kept[c] + [v for k, v, _ in rows if k == c][:5])[-5:]
    for c in range(K):
        assert sorted(ring(augmentation, c)) == sorted(kept[c])


def test_mean_scores_by_hand():
    augmentation = memory(momentum=0.8, initial_score=0.05)
    observe(augmentation, [(0, 1, 0.2), (0, 1, 0.6), (3, 1, 1.0)])
    first = [0.8 * 0.05 + 0.2 * 0.4, 0.05, 0.05, 0.8 * 0.05 + 0.2 * 1.0]
    torch.testing.assert_close(augmentation.mean_score, torch.tensor(first))
    # Stored features of a class count once more.
    augmentation.feedback(torch.tensor([3, 3]), torch.tensor([0.5, 0.7]))
    first[3] = 0.8 * first[3] + 0.2 * 0.6
    torch.testing.assert_close(augmentation.mean_score, torch.tensor(first))


def test_classes_are_drawn_by_the_inverse_of_their_scores():
    number = 30_000
    augmentation = memory(classes=number, samples=1)
    observe(augmentation, [(0, 7, 0.0), (1, 8, 0.0), (3, 9, 0.0)])
    augmentation.mean_score.copy_(torch.tensor([0.8, 0.2, 0.1, 0.4]))
    inverse = 1 / augmentation.mean_score.double()
    rows = generate(augmentation)
    counts = torch.bincount(rows.gt_classes, minlength=K).double()
    expected = number * inverse / inverse.sum()
    assert counts[2] == 0  # drawn most often, and nothing to show
    for c in (0, 1, 3):
        assert abs(counts[c] - expected[c]) < 4 * expected[c].sqrt()
    assert rows.features[rows.gt_classes == 3].unique().tolist() == [9]


def test_features_of_a_class_are_drawn_uniformly():
    augmentation = memory(size=4, classes=1, samples=20_000)
    observe(augmentation, [(2, value, 0.0) for value in (1, 2, 3)])
    rows = generate(augmentation, seed=_seed_that_draws(augmentation, 2))
    values, counts = rows.features[:, 0].unique(return_counts=True)
    assert values.tolist() == [1, 2, 3]
    assert (counts - 20_000 / 3).abs().max() < 4 * (20_000 / 3) ** 0.5
    assert rows.as_rois
    assert rows.weights.unique().tolist() == [1]


def _seed_that_draws(augmentation, class_id):
    return next(s for s in range(99) if generate(augmentation, s) is not None)


def test_an_empty_memory_gives_nothing():
    assert generate(memory()) is None


@pytest.mark.parametrize(("dtype", "exact"), [("float32", True), ("float16", False)])
def test_precision_of_what_is_stored(dtype, exact):
    augmentation = memory(dtype=dtype, classes=50)
    observe(augmentation, [(c, 1 / 3, 0.0) for c in range(K)])
    rows = generate(augmentation)
    assert rows.features.dtype == torch.float32
    assert (rows.features == torch.tensor(1 / 3)).all() == exact
    torch.testing.assert_close(
        rows.features, torch.full_like(rows.features, 1 / 3), rtol=1e-3, atol=0
    )
