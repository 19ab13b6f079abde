"""Shares of errors against the official API on a data set in which they are mended."""

import copy
import json
import math

import numpy as np
import pytest
from federated_problems import random_problem
from toy_lvis import ToyLVIS, random_set
from toy_sides import sides_of

from lt_det.evaluation.metrics.error_shares import ERROR_NAMES, error_shares
from lt_det.evaluation.metrics.errors import (
    BACKGROUND,
    BOTH,
    CLASS,
    DUPLICATE,
    LOCATION,
    find_errors,
)
from lt_det.evaluation.official.lvis_api import LVISGroundTruth, run_lvis_eval

# What tidecv 1.0.1 finds, `TIDERun(...).fix_main_errors()`, in `exhaustive_problem(9)`.
TIDECV = {
    "Cls": 2.385141592999144,
    "Loc": 17.398952147724067,
    "Both": 4.6714763727818,
    "Dupe": 0.6465146901859349,
    "Bkg": 5.331856234625263,
    "Miss": 3.855424173477754,
}

KINDS = {"Cls": CLASS, "Loc": LOCATION, "Both": BOTH, "Dupe": DUPLICATE, "Bkg": BACKGROUND}


def all_classes(sides):
    return {"all": np.ones(len(sides.truth.category_ids), dtype=bool)}


def ap50(dataset, records, folder):
    """AP50 of each class by the official API [K], NaN without ground truth."""
    (folder / "mended.json").write_text(json.dumps(dataset))
    truth = LVISGroundTruth(str(folder / "mended.json"))
    precision = run_lvis_eval(truth, copy.deepcopy(records), "bbox", -1).eval["precision"]
    ap = 100 * precision[0, :, :, 0].mean(axis=0)
    return np.where(ap < 0, np.nan, ap)


def mended(sides, errors, dataset, error):
    """The data set and the results in which one kind of error is mended.

    A mended detection gets the class and the box of what it meant.
    """
    dataset, annotations = copy.deepcopy(dataset), sides.truth.annotations
    records = list(sides.columns.records("bbox"))
    meant = [
        annotations[sides.truth_positions[t]] if t >= 0 else None for t in errors.target.tolist()
    ]
    by_score = sorted(range(len(records)), key=lambda i: -records[i]["score"])
    best = {}
    for i in by_score:
        if meant[i] is not None:
            best.setdefault(meant[i]["id"], i)
    if error == "Miss":
        lost = [
            annotations[p]["id"]
            for p, missed in zip(sides.truth_positions, errors.missed, strict=True)
            if missed and annotations[p]["id"] not in best
        ]
        kept = [a for a in dataset["annotations"] if a["id"] not in lost]
        # The pictures stay verified for the class.
        for image in dataset["images"]:
            image["neg_category_ids"] += [
                a["category_id"] for a in dataset["annotations"] if a["image_id"] == image["id"]
            ]
        return dataset | {"annotations": kept}, records
    out = []
    for i, record in enumerate(records):
        if errors.is_tp[i] or errors.kind[i] != KINDS[error]:
            out.append(record)
        elif meant[i] is not None and best[meant[i]["id"]] == i:
            keys = ("category_id", "bbox")
            out.append(record | {key: meant[i][key] for key in keys})
    return dataset, out


def exhaustive_problem(seed):
    """A set in which every class is verified in every picture."""
    toy, records = random_set(seed, num_images=10, frequencies="rcf")
    for image in toy.images.values():
        image |= {"neg_category_ids": [1, 2, 3], "not_exhaustive_category_ids": []}
    rng = np.random.default_rng(seed)
    for record in records:
        if rng.random() < 0.3:
            record["category_id"] = int(rng.integers(1, 4))
        if rng.random() < 0.3:
            record["bbox"] = np.add(record["bbox"], [*rng.normal(0, 8, 2), 0, 0]).tolist()
    again = [r | {"score": r["score"] - 0.5 / len(records)} for r in records[::3]]
    return toy, records + again


@pytest.mark.parametrize("error", ERROR_NAMES)
def test_equal_to_the_api_on_the_mended_set(error, tmp_path):
    gains = []
    for seed in range(15):
        toy, records = exhaustive_problem(seed)
        sides = sides_of(toy.write(tmp_path / "gt.json"), records)
        errors = find_errors(sides)
        found = error_shares(sides, errors, all_classes(sides))["all"][error]
        before = ap50(toy.dataset, records, tmp_path)
        after = ap50(*mended(sides, errors, toy.dataset, error), tmp_path)
        assert not np.isnan(after).any()
        assert found == pytest.approx(max((after - before).mean(), 0), abs=1e-9), seed
        gains.append(found)
    assert np.mean(np.array(gains) > 0.1) > 0.3


def test_equal_to_tidecv(tmp_path):
    toy, records = exhaustive_problem(9)
    sides = sides_of(toy.write(tmp_path / "gt.json"), records)
    found = error_shares(sides, find_errors(sides), all_classes(sides))["all"]
    assert found == pytest.approx(TIDECV, abs=1e-9)


def test_misses_alone_are_what_ap50_lacks(tmp_path):
    toy, records = random_set(3)
    keys = "image_id", "category_id", "bbox"
    records = [{key: a[key] for key in keys} | {"score": 1.0} for a in toy.annotations[::2]]
    sides = sides_of(toy.write(tmp_path / "gt.json"), records)
    shares = error_shares(sides, find_errors(sides), all_classes(sides))["all"]
    before = np.nanmean(ap50(toy.dataset, records, tmp_path))
    assert shares.pop("Miss") == pytest.approx(100 - before)
    assert set(shares.values()) == {0}


def test_groups_are_means_over_their_classes(tmp_path):
    toy, records = exhaustive_problem(9)
    sides = sides_of(toy.write(tmp_path / "gt.json"), records)
    singles = {str(k): np.arange(3) == k for k in range(3)}
    groups = singles | all_classes(sides) | {"none": np.zeros(3, bool)}
    shares = error_shares(sides, find_errors(sides), groups)
    # Every single gain is positive here, so none is cut off at 0.
    for error in ("Loc", "Bkg"):
        of_classes = [shares[name][error] for name in singles]
        assert min(of_classes) > 0
        assert shares["all"][error] == pytest.approx(np.mean(of_classes))
    assert all(math.isnan(v) for v in shares["none"].values())


def test_a_class_of_missed_objects_alone_leaves_the_mean_as_in_tidecv(tmp_path):
    toy = ToyLVIS("rf")
    toy.image(1, negative=[1, 2])
    toy.box(1, 1, (10, 10, 20, 20))
    toy.box(1, 2, (50, 50, 20, 20))
    found = {"image_id": 1, "category_id": 1, "score": 0.9, "bbox": [10, 10, 20, 20]}
    path = toy.write(tmp_path / "gt.json")
    for more, expected in (([], 50), ([found | {"category_id": 2, "bbox": [80, 0, 9, 9]}], 0)):
        sides = sides_of(path, [found, *more])
        shares = error_shares(sides, find_errors(sides), all_classes(sides))["all"]
        assert shares["Miss"] == pytest.approx(expected)


@pytest.mark.parametrize("data_format", ["lvis", "coco"])
def test_any_problem_has_shares(data_format, tmp_path):
    for seed in range(60):
        toy, records, cap = random_problem(seed, "segm", data_format)
        path = toy.write(tmp_path / "gt.json")
        sides = sides_of(path, records, "segm", cap, data_format)
        shares = error_shares(sides, find_errors(sides), all_classes(sides))["all"]
        without = not (~sides.ignored).any()
        for name, share in shares.items():
            nothing = without or (name == "Miss" and math.isnan(share))
            assert math.isnan(share) if nothing else 0 <= share <= 100, (seed, name)
