"""AP_pool against the official API on a set in which every (image, class) is an image."""

import copy
import math

import numpy as np
import pytest
from federated_problems import random_problem
from toy_lvis import ToyLVIS

from lt_det.evaluation.matching.matches import Matches
from lt_det.evaluation.metrics.pooled_ap import pooled_average_precision
from lt_det.evaluation.official.lvis_api import LVISGroundTruth, run_lvis_eval


def pooled(toy, records, members):
    """The same set with one class: pictures of every (image, class) pair of `members`."""
    category_ids = sorted(c["id"] for c in toy.categories)
    new_id = {
        (i, c): n
        for n, (i, c) in enumerate(((i, c) for i in sorted(toy.images) for c in members), 1)
    }
    assert set(members) <= set(category_ids)
    one = ToyLVIS("f")
    for (i, c), n in new_id.items():
        image = toy.images[i]
        lists = (
            [1] if c in image[f"{name}_category_ids"] else [] for name in ("neg", "not_exhaustive")
        )
        one.image(n, image["height"], image["width"], *lists)
    moved = []
    for entries in (toy.annotations, records):
        kept = [e for e in copy.deepcopy(entries) if (e["image_id"], e["category_id"]) in new_id]
        for e in kept:
            e["image_id"], e["category_id"] = new_id[e["image_id"], e["category_id"]], 1
        moved.append(kept)
    one.annotations = moved[0]
    return one, moved[1]


@pytest.mark.parametrize("seeds", [range(0, 40), range(40, 80)])
def test_equal_to_one_class(seeds, tmp_path):
    compared = 0
    for seed in seeds:
        toy, records, _ = random_problem(seed, "bbox")
        category_ids = sorted(c["id"] for c in toy.categories)
        run = run_lvis_eval(
            LVISGroundTruth(toy.write(tmp_path / "gt.json")), copy.deepcopy(records), "bbox", -1
        )
        matches = Matches.from_lvis_eval(run)
        for members in (category_ids, category_ids[:2]):
            found = pooled_average_precision(matches, np.isin(category_ids, members))
            one, moved = pooled(toy, records, members)
            path = one.write(tmp_path / "one.json")
            precision = run_lvis_eval(LVISGroundTruth(path), moved, "bbox", -1).eval["precision"]
            if precision[0, 0, 0, 0] < 0:
                assert math.isnan(found)
            else:
                assert found == pytest.approx(100 * precision[:, :, 0, 0].mean(), abs=1e-12)
                compared += 1
    assert compared > 20
