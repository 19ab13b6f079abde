import math

import numpy as np
import pytest

from lt_det.evaluation.metrics import group_metrics

T, R, K, A = 10, 101, 7, 4
GROUPS = np.array([0, 1, 2, 2, 0, 1, -1])


def _arrays(seed=0):
    """Random precision and recall; some classes absent in some areas, class 4 in all."""
    rng = np.random.default_rng(seed)
    precision, recall = rng.random((T, R, K, A)), rng.random((T, K, A))
    absent = rng.random((K, A)) < 0.3
    absent[4] = True
    absent[[0, 1, 2], 0] = False
    precision[:, :, absent] = -1
    recall[:, absent] = -1
    return precision, recall


def _slow_mean(values):
    present = [v for v in values if v > -1]
    return 100 * sum(present) / len(present) if present else math.nan


def _slow(precision, recall, name):
    """One metric from its name by plain loops."""
    kind, suffix = name[:2], name[2:]
    area = "sml".index(suffix) + 1 if suffix in ("s", "m", "l") else 0
    thresholds = {"50": [0], "75": [5]}.get(suffix, range(T))
    group = "rcf".index(suffix) if suffix in ("r", "c", "f") else None
    classes = [k for k in range(K) if group is None or GROUPS[k] == group]
    if kind == "AR":
        return _slow_mean([recall[t, k, area] for t in thresholds for k in classes])
    return _slow_mean(
        [precision[t, r, k, area] for t in thresholds for r in range(R) for k in classes]
    )


@pytest.mark.parametrize("name", group_metrics.METRIC_NAMES)
def test_summarize_equals_plain_loops(name):
    precision, recall = _arrays()
    value = group_metrics.summarize(precision, recall, GROUPS)[name]
    assert value == pytest.approx(_slow(precision, recall, name), abs=1e-10)


def test_group_without_present_class_is_nan_and_not_in_the_mean():
    precision, recall = -np.ones((T, R, K, A)), -np.ones((T, K, A))
    precision[:, :, 2], recall[:, 2] = 0.25, 0.5
    metrics = group_metrics.summarize(precision, recall, GROUPS)
    assert metrics["AP"] == metrics["APf"] == 25
    assert metrics["AR"] == metrics["ARf"] == 50
    assert all(math.isnan(metrics[name]) for name in ("APr", "APc", "ARr", "ARc"))


def test_nothing_present_is_nan_throughout():
    metrics = group_metrics.summarize(-np.ones((T, R, K, A)), -np.ones((T, K, A)), GROUPS)
    assert all(math.isnan(value) for value in metrics.values())


def test_per_class_equals_plain_loops():
    precision, recall = _arrays()
    values = group_metrics.per_class(precision, recall)
    for k in range(K):
        if recall[0, k, 0] < 0:
            assert all(np.isnan(column[k]) for column in values.values())
            continue
        assert values["AP"][k] == pytest.approx(_slow_mean(precision[:, :, k, 0].ravel()))
        assert values["AP50"][k] == pytest.approx(_slow_mean(precision[0, :, k, 0]))
        assert values["AR"][k] == pytest.approx(_slow_mean(recall[:, k, 0]))
    assert np.nanmean(values["AP"]) == pytest.approx(
        group_metrics.summarize(precision, recall, GROUPS)["AP"]
    )


def test_group_means_leave_nan_out():
    values = np.array([[1.0, 2, 3, np.nan, np.nan, np.nan, 6], [np.nan, 2, 3, 5, np.nan, 4, 6]])
    means = group_metrics.group_means(values, GROUPS)
    np.testing.assert_allclose(means["AP"], [3.0, 4.0])
    np.testing.assert_array_equal(means["APr"], [1.0, np.nan])
    np.testing.assert_allclose(means["APc"], [2.0, 3.0])
    np.testing.assert_allclose(means["APf"], [3.0, 4.0])


def test_contradicting_shapes_are_refused():
    precision, recall = _arrays()
    with pytest.raises(ValueError, match="one index per class"):
        group_metrics.summarize(precision, recall, GROUPS[:-1])
    with pytest.raises(ValueError, match="of one evaluation"):
        group_metrics.summarize(precision, recall[:, :-1], GROUPS)
    with pytest.raises(ValueError, match="4 area ranges"):
        group_metrics.summarize(precision[..., :2], recall[..., :2], GROUPS)
    with pytest.raises(ValueError, match=r"must hold 0\.75"):
        group_metrics.summarize(precision, recall, GROUPS, np.linspace(0.5, 0.7, T))
