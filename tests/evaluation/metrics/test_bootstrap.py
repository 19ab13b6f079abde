import math
from dataclasses import replace

import numpy as np
import pytest
from toy_lvis import random_set, repeat_images

from lt_det.evaluation.matching.matches import Matches
from lt_det.evaluation.metrics.bootstrap import (
    average_precision,
    bootstrap_difference,
    bootstrap_interval,
    difference_of_replicates,
    interval_of_replicates,
    replicate_metrics,
)
from lt_det.evaluation.metrics.group_metrics import per_class
from lt_det.evaluation.official.lvis_api import LVISGroundTruth, run_lvis_eval

GROUPS = np.array([0, 0, 1, 1, 2])


def _api(toy, results, path):
    """Evaluate by the LVIS API: per-class AP and the matches."""
    ground_truth = LVISGroundTruth(toy.write(path))
    run = run_lvis_eval(ground_truth, [dict(r) for r in results], "bbox")
    return per_class(run.eval["precision"], run.eval["recall"])["AP"], Matches.from_lvis_eval(run)


def _found(outcome, false_positives=()):
    """One picture and one object each; `outcome`: whether it is found at every threshold.

    Args:
        outcome: bool per picture.
        false_positives: pictures with a false positive that outscores all others.
    """
    outcome, false_positives = np.asarray(outcome), np.asarray(false_positives, dtype=int)
    pictures = np.arange(len(outcome))
    image = np.concatenate([pictures[outcome], false_positives])
    matched = np.concatenate([np.ones(outcome.sum(), bool), np.zeros(len(false_positives), bool)])
    return Matches(
        image_ids=pictures,
        category_ids=np.array([1]),
        image_index=image,
        class_index=np.zeros(len(image), int),
        score=np.where(matched, 0.5, 0.9) + 1e-4 * image / len(outcome),
        matched=np.tile(matched, (10, 1)),
        ignored=np.zeros((10, len(image)), bool),
        gt_image_index=pictures,
        gt_class_index=np.zeros(len(outcome), int),
        gt_count=np.ones(len(outcome), int),
    )


@pytest.mark.parametrize("seed", range(5))
def test_unit_weights_give_the_api_ap(seed, tmp_path):
    expected, matches = _api(*random_set(seed), tmp_path / "gt.json")
    assert np.isfinite(expected).any()
    np.testing.assert_allclose(average_precision(matches), expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("seed", range(8))
def test_integer_weights_equal_pictures_really_repeated(seed, tmp_path):
    toy, results = random_set(seed)
    times = np.random.default_rng(seed).integers(0, 4, len(toy.images))
    _, matches = _api(toy, results, tmp_path / "gt.json")
    expected, repeated = _api(*repeat_images(toy, results, times), tmp_path / "repeated.json")
    np.testing.assert_allclose(average_precision(matches, times), expected, rtol=0, atol=1e-11)
    np.testing.assert_array_equal(
        np.bincount(matches.gt_class_index, matches.gt_count * times[matches.gt_image_index], 5),
        repeated.instances_per_class(),
    )


def test_random_sets_exercise_ignored_detections_and_absent_classes(tmp_path):
    ignored = absent = 0
    for seed in range(8):
        toy, results = random_set(seed)
        _, matches = _api(toy, results, tmp_path / "gt.json")
        times = np.random.default_rng(seed).integers(0, 4, len(toy.images))
        ignored += matches.ignored.any()
        absent += np.isnan(average_precision(matches, (times == 3).astype(int))).any()
    assert ignored
    assert absent


def test_batch_equals_one_by_one_also_over_chunks(tmp_path, monkeypatch):
    _, matches = _api(*random_set(0), tmp_path / "gt.json")
    weights = np.random.default_rng(0).integers(0, 3, (9, len(matches.image_ids)))
    expected = np.stack([average_precision(matches, w) for w in weights])
    np.testing.assert_array_equal(average_precision(matches, weights), expected)
    monkeypatch.setattr("lt_det.evaluation.metrics.bootstrap._CHUNK_ELEMENTS", 20)
    np.testing.assert_array_equal(average_precision(matches, weights), expected)


def test_scaling_all_weights_changes_nothing(tmp_path):
    _, matches = _api(*random_set(1), tmp_path / "gt.json")
    scaled = average_precision(matches, np.full(len(matches.image_ids), 4))
    np.testing.assert_allclose(scaled, average_precision(matches), rtol=1e-12)


def test_matches_round_trip(tmp_path):
    _, matches = _api(*random_set(0), tmp_path / "gt.json")
    matches.save(tmp_path / "matches.npz")
    read = Matches.load(tmp_path / "matches.npz")
    for name, column in vars(matches).items():
        np.testing.assert_array_equal(getattr(read, name), column)
        assert getattr(read, name).dtype == column.dtype
    assert sorted(p.name for p in tmp_path.iterdir()) == ["gt.json", "matches.npz"]


def test_foreign_npz_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", score=np.zeros(3))
    with pytest.raises(ValueError, match=r"other\.npz.*lacks"):
        Matches.load(tmp_path / "other.npz")


def test_wrong_weights_are_refused():
    matches = _found([True, False])
    for weights in (np.ones(3), np.ones((1, 1, 2))):
        with pytest.raises(ValueError, match="image_weights must be"):
            average_precision(matches, weights)
    for weights in ([-1, 1], [np.nan, 1]):
        with pytest.raises(ValueError, match="finite and not negative"):
            average_precision(matches, np.array(weights))


def test_same_method_differs_by_exactly_zero(tmp_path):
    _, matches = _api(*random_set(0), tmp_path / "gt.json")
    for resample_seeds in (False, True):
        difference = bootstrap_difference(
            [matches] * 2, [matches] * 2, GROUPS, 200, resample_seeds=resample_seeds
        )
        assert difference["AP"] == {"mean": 0.0, "lo": 0.0, "hi": 0.0}


def test_interval_width_is_the_binomial_one():
    # AP without false positives is the share of objects found, up to the 1/101 grid.
    n = 400
    interval = bootstrap_interval([_found(np.arange(n) % 2 == 0)], np.array([2]), 2000)["AP"]
    half = 100 * 1.96 * math.sqrt(0.25 / n)
    assert interval["mean"] == pytest.approx(100 * 51 / 101)
    assert interval["hi"] - interval["lo"] == pytest.approx(2 * half, rel=0.1)
    assert interval["lo"] < 50 < interval["hi"]


def test_interval_covers_the_truth_about_as_often_as_it_says():
    # 80 draws of the world: with 95 % coverage fewer than 68 hits has a probability below 1e-3.
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(80):
        interval = bootstrap_interval([_found(rng.random(200) < 0.6)], np.array([0]), 300)["APr"]
        hits += interval["lo"] - 1 <= 60 <= interval["hi"] + 1
    assert hits >= 68


def test_clear_difference_excludes_zero_and_pairing_narrows_it():
    rng = np.random.default_rng(0)
    found = rng.random(300) < 0.5
    better = found | (rng.random(300) < 0.1)
    paired = bootstrap_difference([_found(better)], [_found(found)], np.array([2]))["APf"]
    assert 0 < paired["lo"] < paired["mean"] < paired["hi"]
    alone = bootstrap_interval([_found(found)], np.array([2]))["APf"]
    assert paired["hi"] - paired["lo"] < 0.7 * (alone["hi"] - alone["lo"])


def test_seeds_are_averaged():
    a, b = _found([True] * 10), _found([False] * 10)
    groups = np.array([0])
    assert bootstrap_interval([a, b], groups, 10)["APr"]["mean"] == pytest.approx(50)
    assert bootstrap_interval([a, b], groups, 10)["APr"]["lo"] == pytest.approx(50)
    # Whole seeds are drawn: both can be the bad or the good one.
    resampled = bootstrap_interval([a, b], groups, 200, resample_seeds=True)["APr"]
    assert resampled["lo"] == 0
    assert resampled["hi"] == pytest.approx(100)


def test_false_positive_weighs_with_its_picture():
    # Two pictures, both objects found, one false positive above them in picture 0.
    matches = _found([True, True], false_positives=[0])
    assert average_precision(matches, np.array([1, 1]))[0] == pytest.approx(200 / 3)
    assert average_precision(matches, np.array([0, 1]))[0] == pytest.approx(100)
    assert average_precision(matches, np.array([1, 3]))[0] == pytest.approx(80)


def test_absent_group_is_nan():
    interval = bootstrap_interval([_found([True] * 5)], np.array([0]), 50)
    assert all(math.isnan(v) for v in interval["APf"].values())
    assert interval["APr"]["mean"] == pytest.approx(100)


def test_replicates_without_a_group_are_left_out_of_its_interval():
    # The only object is in one picture of five, which a third of the replicates misses.
    found = _found([True] * 5)
    matches = replace(
        found,
        image_index=found.image_index[:1],
        class_index=found.class_index[:1],
        score=found.score[:1],
        matched=found.matched[:, :1],
        ignored=found.ignored[:, :1],
        gt_image_index=np.array([0]),
        gt_class_index=np.array([0]),
        gt_count=np.array([1]),
    )
    assert np.isnan(average_precision(matches, np.array([0, 2, 1, 1, 1])))
    assert bootstrap_interval([matches], np.array([0]), 50)["APr"] == {
        name: pytest.approx(100) for name in ("mean", "lo", "hi")
    }


def test_same_seed_same_interval():
    matches = [_found(np.arange(30) % 3 > 0)]
    first = bootstrap_interval(matches, np.array([1]), 100, seed=3)["APc"]
    assert bootstrap_interval(matches, np.array([1]), 100, seed=3)["APc"] == first
    assert bootstrap_interval(matches, np.array([1]), 100, seed=4)["APc"] != first


def test_evaluations_that_cannot_be_compared_are_refused():
    groups = np.array([0])
    with pytest.raises(ValueError, match="differ in image_ids"):
        bootstrap_difference([_found([True])], [_found([True, False])], groups)
    with pytest.raises(ValueError, match="no evaluation given"):
        bootstrap_interval([], groups)
    with pytest.raises(ValueError, match="groups must hold"):
        bootstrap_interval([_found([True])], np.array([0, 1]))
    with pytest.raises(ValueError, match="num_replicates"):
        bootstrap_interval([_found([True])], groups, 0)


@pytest.mark.parametrize("seed", range(4))
def test_a_difference_of_stored_replicates_is_the_difference(seed, tmp_path):
    """Also of unequally many training seeds, and of a group without ground truth."""
    toy, results = random_set(seed)
    rng = np.random.default_rng(seed)
    found = [
        [r | {"score": float(rng.random())} for r in results if rng.random() < kept]
        for kept in (0.9, 0.5, 0.7)
    ]
    matches = [_api(toy, part, tmp_path / "gt.json")[1] for part in found]
    groups = np.array([0, 0, 2, 2, 2])
    for ours, theirs in ((matches[:1], matches[1:2]), (matches[:2], matches[2:])):
        expected = bootstrap_difference(ours, theirs, groups, num_replicates=60, seed=seed)
        stored = [
            [replicate_metrics(m, groups, num_replicates=60, seed=seed) for m in side]
            for side in (ours, theirs)
        ]
        difference = difference_of_replicates(*stored)
        assert difference.keys() == expected.keys()
        for metric, values in expected.items():
            assert difference[metric] == pytest.approx(values, abs=1e-12, nan_ok=True)
        assert math.isnan(difference["APc"]["mean"])
        assert difference["AP"]["mean"] != 0


def test_an_interval_of_stored_replicates_is_moved_to_the_observed_value(tmp_path):
    toy, results = random_set(0)
    _, matches = _api(toy, results, tmp_path / "gt.json")
    groups = np.array([0, 0, 2, 2, 2])
    plain = bootstrap_interval([matches], groups, num_replicates=80)
    stored = replicate_metrics(matches, groups, num_replicates=80)
    moved = interval_of_replicates([stored])
    for name in ("AP", "APr", "APf"):
        shift = np.nanmean(stored[name][1:]) - stored[name][0]
        assert abs(shift) > 0.1
        assert moved[name]["mean"] == plain[name]["mean"]
        for end in ("lo", "hi"):
            assert moved[name][end] == pytest.approx(plain[name][end] - shift)
    assert math.isnan(moved["APc"]["mean"])
    halves = [{name: part * values for name, values in stored.items()} for part in (0.5, 1.5)]
    assert interval_of_replicates(halves)["AP"] == pytest.approx(moved["AP"])


def test_the_interval_of_a_method_is_never_below_zero():
    """The replicates are moved down by 0.3, the lowest of them to where no AP is."""
    values = [0.1, *np.linspace(0.2, 0.6, 41)]
    of = interval_of_replicates([{"AP": np.array(values)}], level=0.95)["AP"]
    assert of == pytest.approx({"mean": 0.1, "lo": 0.0, "hi": 0.29})
