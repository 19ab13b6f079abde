"""The metrics beside the APIs', through the evaluators."""

import copy
import json
import math

import numpy as np
import pycocotools.mask as mask_utils
import pytest
from toy_lvis import ToyLVIS, random_set

from lt_det.evaluation.evaluate_files import evaluate_files, evaluator_of_files
from lt_det.evaluation.metric_options import MetricOptions
from lt_det.evaluation.metrics.group_metrics import METRIC_NAMES
from lt_det.evaluation.official.lvis_api import LVISGroundTruth, run_lvis_eval
from lt_det.evaluation.results import read_results

AP_NAMES = [name for name in METRIC_NAMES if name.startswith("AP")]
FORMATS = ("lvis", "coco")


@pytest.fixture
def evaluate(tmp_path):
    """Returns a function: results, and diagnostics.json, of a set's records."""

    def _evaluate(toy, records, data_format="lvis", groups=None, **options):
        groups_file = None
        if groups is not None:
            groups_file = tmp_path / "groups.json"
            groups_file.write_text(json.dumps(groups))
        (tmp_path / "results.json").write_text(json.dumps(records))
        evaluator = evaluator_of_files(
            toy.write(tmp_path / "gt.json"),
            data_format,
            groups_file=groups_file,
            options=MetricOptions(**options),
        )
        evaluate_files(evaluator, tmp_path / "results.json", output_dir=tmp_path / "out")
        diagnostics = json.loads((tmp_path / "out" / "diagnostics.json").read_text())
        return read_results(tmp_path / "out" / "results.json"), diagnostics

    return _evaluate


def problem(task, seed=0):
    """A set of a rare, a common and a frequent class, and results."""
    toy, records = random_set(seed, frequencies="rcf")
    for record in records if task == "segm" else ():
        x, y, w, h = (max(round(v), 0) for v in record.pop("bbox"))
        mask = np.zeros((100, 100), np.uint8, order="F")
        mask[y : y + h, x : x + w] = 1
        rle = mask_utils.encode(mask)
        record["segmentation"] = rle | {"counts": rle["counts"].decode()}
    return toy, records


@pytest.mark.parametrize("task", ["bbox", "segm"])
@pytest.mark.parametrize("data_format", FORMATS)
def test_ap_fixed_is_ap_where_nothing_is_cut(evaluate, task, data_format):
    toy, records = problem(task)
    results, _ = evaluate(toy, records, data_format, detections_per_class=10_000)
    assert 0 < results[task]["AP"] < 100
    fixed = {name: results[task][f"{name}_fixed"] for name in AP_NAMES}
    np.testing.assert_equal(fixed, {name: results[task][name] for name in AP_NAMES})


def test_ap_fixed_and_ap_pool_by_hand(evaluate):
    """602 detections in a picture of two classes: AP sees 300, AP_fixed 350 of each class."""
    toy = ToyLVIS("rf")
    toy.image(1, negative=[1, 2])
    toy.box(1, 1, (10, 10, 20, 20))
    toy.box(1, 2, (50, 50, 20, 20))
    rng, far = np.random.default_rng(0), [80, 0, 9, 9]
    found = [(2, s, far) for s in rng.random(400) / 2 + 0.5]
    found += [(1, s, far) for s in rng.random(200) / 2]
    found += [(1, 0.4, [10, 10, 20, 20]), (2, 0.1, [50, 50, 20, 20])]
    records = [{"image_id": 1, "category_id": c, "score": s, "bbox": b} for c, s, b in found]
    results, _ = evaluate(toy, records, detections_per_class=350)
    better = sum(r["score"] > 0.4 for r in records if r["category_id"] == 1)
    assert results["bbox"]["AP"] == 0
    assert results["bbox"]["APr_fixed"] == pytest.approx(100 / (better + 1))
    assert results["bbox"]["APf_fixed"] == 0
    results, _ = evaluate(toy, records, detections_per_class=1000)
    assert results["bbox"]["APf_fixed"] == pytest.approx(100 / 401)
    ranks = [1 + sum(r["score"] > score for r in records) for score in (0.4, 0.1)]
    precision = [max(1 / ranks[0], 2 / ranks[1]), 2 / ranks[1]]
    expected = (51 * precision[0] + 50 * precision[1]) / 101
    assert results["bbox"]["AP_pool"] == pytest.approx(100 * expected)


def test_a_model_that_keeps_more_has_ap_from_its_limit_per_image(evaluate):
    toy, records = problem("bbox")
    expected, _ = evaluate(toy, records)
    limited, _ = evaluate(toy, records, detections_per_class=5, detections_per_image=2)
    kept, count = [], {}
    for record in sorted(records, key=lambda r: -r["score"]):
        count[record["image_id"]] = count.get(record["image_id"], 0) + 1
        if count[record["image_id"]] <= 2:
            kept.append(record)
    cut, _ = evaluate(toy, [r for r in records if r in kept])
    for name in METRIC_NAMES:
        np.testing.assert_equal(limited["bbox"][name], cut["bbox"][name])
    assert cut["bbox"]["AP"] != expected["bbox"]["AP"]


@pytest.mark.parametrize("data_format", FORMATS)
def test_boundary_ap_is_of_masks_and_mask_ap_with_a_wide_boundary(evaluate, data_format):
    toy, records = problem("segm")
    results, _ = evaluate(toy, records, data_format, boundary_dilation=0.99)
    assert results["segm"]["AP"] > 0
    for name in ("AP", "APr", "APc", "APf"):
        expected = pytest.approx(results["segm"][name], abs=1e-11, nan_ok=True)
        assert results["segm"][f"{name}_boundary"] == expected
    results, _ = evaluate(*problem("bbox"), data_format, boundary_dilation=0.02)
    assert "AP_boundary" not in results["bbox"]


@pytest.mark.parametrize("data_format", FORMATS)
def test_groups_of_any_name(evaluate, data_format, tmp_path):
    toy, records = problem("bbox")
    ids = sorted(c["id"] for c in toy.categories)
    groups = {str(i): "seen" if n % 2 else "unseen" for n, i in enumerate(ids)}
    results, diagnostics = evaluate(
        toy, records, data_format, groups, detections_per_class=10, boundary_dilation=0.1
    )
    metrics = results["bbox"]
    assert {"AP_seen", "AR_unseen", "ECE_seen", "AP50_fixed", "AP_unseen_fixed"} <= metrics.keys()
    rows = (tmp_path / "out" / "per_class.csv").read_text().splitlines()
    column = rows[0].split(",").index("bbox_AP")
    by_class = [float(row.split(",")[column] or "nan") for row in rows[1:]]
    for name, start in (("unseen", 0), ("seen", 1)):
        assert metrics[f"AP_{name}"] == pytest.approx(np.nanmean(by_class[start::2]))
        assert name in diagnostics["bbox"]["error_shares"]
        assert name in diagnostics["bbox"]["calibration"]
    if data_format == "lvis":
        assert not math.isnan(metrics["APr"]) or not math.isnan(metrics["APf"])


def test_groups_by_frequency_of_a_file_replace_the_sets_own(evaluate):
    toy, records = problem("bbox")
    groups = {str(c["id"]): "common" for c in toy.categories}
    results, diagnostics = evaluate(toy, records, groups=groups)
    assert results["bbox"]["APc"] == results["bbox"]["AP"]
    assert math.isnan(results["bbox"]["APr"])
    assert list(diagnostics["bbox"]["error_shares"]) == ["all", "common"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("fixed", "group is no name"), ("two words", "group is no name"), (3, "group is no name")],
)
def test_groups_without_a_good_name_are_refused(evaluate, name, message):
    toy, records = problem("bbox")
    with pytest.raises(ValueError, match=message):
        evaluate(toy, records, groups={str(c["id"]): name for c in toy.categories})


@pytest.mark.parametrize("data_format", FORMATS)
def test_diagnostics(evaluate, data_format):
    toy, records = problem("segm")
    results, diagnostics = evaluate(toy, records, data_format)
    (of_task,) = diagnostics.values()
    assert set(of_task) == {"calibration", "error_shares", "confusion"}
    curve = of_task["calibration"]["all"]
    assert 100 * curve["ece"] == pytest.approx(results["segm"]["ECE"])
    assert set(of_task["error_shares"]["all"]) == {"Cls", "Loc", "Both", "Dupe", "Bkg", "Miss"}
    keys = {"class", "into", "count", "share", "group", "into_group"}
    assert all(set(row) == keys for row in of_task["confusion"])


def test_without_error_analysis_only_the_curve_is_left(evaluate):
    _, diagnostics = evaluate(*problem("bbox"), error_analysis=False)
    assert set(diagnostics["bbox"]) == {"calibration"}


@pytest.mark.parametrize("data_format", FORMATS)
def test_no_detection(evaluate, data_format):
    toy, _ = problem("bbox")
    results, diagnostics = evaluate(
        toy, [], data_format, detections_per_class=10, boundary_dilation=0.02
    )
    metrics = results["bbox"]
    assert metrics["AP_fixed"] == metrics["AP_pool"] == 0
    assert math.isnan(metrics["ECE"])
    assert diagnostics["bbox"]["calibration"]["all"] == {"ece": None, "bins": []}
    assert diagnostics["bbox"]["confusion"] == []


def test_scores_that_are_no_probabilities_have_no_calibration(evaluate, caplog):
    toy, records = problem("bbox")
    shifted = [r | {"score": r["score"] * 9 - 4} for r in records]
    results, diagnostics = evaluate(toy, shifted)
    expected, _ = evaluate(toy, records)
    assert results["bbox"]["AP"] == expected["bbox"]["AP"]
    assert "ECE" not in results["bbox"]
    assert diagnostics["bbox"]["calibration"] == {}
    assert "No calibration error: scores are from" in caplog.text


def test_few_detections_are_warned_of(evaluate, caplog):
    toy, records = problem("bbox")
    evaluate(toy, records, detections_per_class=10_000)
    assert f"{len(toy.categories)} of {len(toy.categories)} classes have less than" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detections_per_class": -1}, r"TEST.DETECTIONS_PER_CLASS is -1, .*10000"),
        ({"boundary_dilation": 1.5}, r"TEST.BOUNDARY_DILATION is 1.5, .*0\.02"),
        ({"boundary_dilation": -0.1}, r"TEST.BOUNDARY_DILATION is -0.1"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        MetricOptions(**options)


def test_the_released_script_is_the_lvis_api_without_a_limit(evaluate, tmp_path):
    """Top detections per class, then `LVISResults(max_dets=-1)`: evaluate_ap_fixed.py."""
    toy, records = problem("segm")
    results, _ = evaluate(toy, records, detections_per_class=2)
    by_class = {}
    for record in records:
        by_class.setdefault(record["category_id"], []).append(record)
    kept = []
    for of_class in by_class.values():
        kept += sorted(of_class, key=lambda r: r["score"], reverse=True)[:2]
    assert len(kept) < len(records)
    truth = LVISGroundTruth(toy.write(tmp_path / "gt.json"))
    run = run_lvis_eval(truth, copy.deepcopy(kept), "segm", -1)
    run.summarize()
    for name in AP_NAMES:
        value = run.get_results()[name]
        expected = math.nan if value == -1 else value * 100
        np.testing.assert_equal(results["segm"][f"{name}_fixed"], expected)
