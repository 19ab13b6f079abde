import itertools

import numpy as np

from lt_det.pages.plot_style import look, shorten, spread


def test_spread_labels_keep_their_order_and_distance():
    moved = spread([0.5, 0.1, 0.51, 0.52], 0.1, 0.0, 1.0)
    np.testing.assert_allclose(moved, [0.41, 0.1, 0.51, 0.61])


def test_spread_is_the_least_squares_solution():
    wanted = np.array([0.2, 0.3, 0.31, 0.32, 0.6])
    grid = np.arange(0.0, 1.0001, 0.05)
    feasible = [
        np.array(c) for c in itertools.combinations(grid, 5) if np.diff(c).min() > 0.1 - 1e-9
    ]
    best = min(np.sum((c - wanted) ** 2) for c in feasible)
    moved = spread(wanted, 0.1, 0.0, 1.0)
    assert np.diff(moved).min() >= 0.1 - 1e-12
    assert np.sum((moved - wanted) ** 2) <= best


def test_spread_stays_within_its_limits_and_shrinks_the_gap_if_it_must():
    np.testing.assert_allclose(spread([0.0, 0.0, 0.0], 0.1, 0.0, 1.0), [0.0, 0.1, 0.2])
    np.testing.assert_allclose(spread([1.0, 1.0], 0.1, 0.0, 1.0), [0.9, 1.0])
    np.testing.assert_allclose(spread([5.0, 5.0, 5.0], 0.9, 0.0, 1.0), [0.0, 0.5, 1.0])
    assert spread([], 0.1, 0.0, 1.0).shape == (0,)


def test_fifteen_methods_look_different():
    looks = [tuple(look(place).values()) for place in range(15)]
    assert len(set(looks)) == 15


def test_names_that_differ_at_their_end_stay_apart():
    names = [f"Balanced Softmax, Meta {end}" for end in ("Sampler", "Reweighter")]
    short = [shorten(name, 26, max_lines=2) for name in names]
    assert short == ["Balanced Softmax, Meta\nSampler", "Balanced Softmax, Meta\nReweighter"]
    assert shorten("one two three", 8) == "one two…"
