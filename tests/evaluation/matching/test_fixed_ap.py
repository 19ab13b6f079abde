import copy

import numpy as np
import pytest
from federated_problems import random_problem

from lt_det.evaluation.matching.fixed_ap import best_per_class
from lt_det.evaluation.official.lvis_api import LVISGroundTruth, run_lvis_eval


@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_equal_to_the_released_selection(limit):
    rng = np.random.default_rng(0)
    classes, scores = rng.integers(0, 7, 200), rng.integers(0, 6, 200) / 5
    expected = []
    for c in range(7):
        of_class = [i for i in range(200) if classes[i] == c]
        expected += sorted(of_class, key=lambda i: scores[i], reverse=True)[:limit]
    assert best_per_class(classes, scores, limit).tolist() == sorted(expected)


def test_nothing_to_select():
    assert len(best_per_class(np.zeros(0, int), np.zeros(0), 5)) == 0


def test_the_selection_is_ap_of_what_it_keeps(tmp_path):
    """A class keeps its best detection alone; pictures have no limit."""
    toy, records, _ = random_problem(4, "bbox")
    path = toy.write(tmp_path / "gt.json")
    columns = np.array([(r["category_id"], r["score"]) for r in records])
    kept = [records[i] for i in best_per_class(*columns.T, 1)]
    assert len(kept) == len({r["category_id"] for r in records}) < len(records)
    run = run_lvis_eval(LVISGroundTruth(path), copy.deepcopy(kept), "bbox", -1)
    best = [
        max((r for r in records if r["category_id"] == c), key=lambda r: r["score"])
        for c in dict.fromkeys(r["category_id"] for r in records)
    ]
    expected = run_lvis_eval(LVISGroundTruth(path), copy.deepcopy(best), "bbox", -1)
    np.testing.assert_array_equal(run.eval["precision"], expected.eval["precision"])
