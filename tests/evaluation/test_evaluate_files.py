"""Results files against annotation files: the evaluators' numbers, without a registered set."""

import json

import numpy as np
import pytest
from detectron2.structures import Instances
from toy_coco import CATEGORY_IDS, IMAGE_COUNT
from toy_lvis import make_instances
from written_files import DETECTIONS, WORSE, assert_same_files

from lt_det.evaluation.coco_evaluator import LTCOCOEvaluator
from lt_det.evaluation.evaluate_files import evaluate_files, evaluator_of_files
from lt_det.evaluation.lvis_evaluator import PREDICTIONS_FILE
from lt_det.evaluation.matching.matches import Matches
from lt_det.evaluation.metrics.bootstrap import bootstrap_difference
from lt_det.evaluation.results import read_results


@pytest.mark.parametrize("masks", [True, False])
def test_what_the_lvis_evaluator_wrote_evaluates_to_the_same_files(
    write, ground_truth, tmp_path, masks
):
    predictions = write(DETECTIONS, "registered", masks)
    evaluate_files(evaluator_of_files(ground_truth), predictions, output_dir=tmp_path / "files")
    tasks = ("bbox", "segm") if masks else ("bbox",)
    assert_same_files(tmp_path / "registered", tmp_path / "files", tasks)
    results = read_results(tmp_path / "files" / "results.json")
    assert tuple(results) == tasks
    assert 10 < results["bbox"]["APr"] < 90


def shifted_truth(json_file) -> dict[int, Instances]:
    content = json.loads(json_file.read_text())
    rng, detections = np.random.default_rng(0), {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        x, y, w, h = annotation["bbox"]
        box = (x + int(rng.integers(0, 4)), y, w, h)
        entry = (CATEGORY_IDS.index(annotation["category_id"]), rng.random(), box)
        detections[annotation["image_id"]].append(entry)
    return {i: make_instances(entries, (96, 96)) for i, entries in detections.items()}


def test_what_the_coco_evaluator_wrote_evaluates_to_the_same_files(coco_set, tmp_path):
    name, json_file = coco_set
    evaluator = evaluator_of_files(json_file, train_file=json_file)
    assert isinstance(evaluator, LTCOCOEvaluator)
    assert evaluator.groups.tolist() == [0, 0, 0]
    assert IMAGE_COUNT == (9, 4, 2)
    evaluator = evaluator_of_files(json_file, train_file=json_file, thresholds=(2, 4))
    assert evaluator.groups.tolist() == [2, 1, 0]

    options = {
        "groups": np.array([2, 1, 0]),
        "output_dir": str(tmp_path / "registered"),
        "save_predictions": True,
    }
    registered = LTCOCOEvaluator(name, distributed=False, **options)
    for image_id, instances in shifted_truth(json_file).items():
        registered.process([{"image_id": image_id}], [{"instances": instances}])
    registered.evaluate()
    groups = dict(zip(map(str, CATEGORY_IDS), ("frequent", "common", "rare"), strict=True))
    (tmp_path / "groups.json").write_text(json.dumps(groups))
    evaluator = evaluator_of_files(json_file, "coco", groups_file=tmp_path / "groups.json")
    predictions = tmp_path / "registered" / PREDICTIONS_FILE
    evaluate_files(evaluator, predictions, output_dir=tmp_path / "files")
    assert_same_files(tmp_path / "registered", tmp_path / "files")


def test_training_counts_enter_the_class_table(write, ground_truth, tmp_path):
    predictions = write(DETECTIONS, "registered")
    evaluator = evaluator_of_files(ground_truth, train_file=ground_truth)
    evaluate_files(evaluator, predictions)
    rows = [(r["group"], r["train_image_count"]) for r in evaluator.per_class]
    assert rows == [("rare", 2), ("frequent", 4)]  # the file's own groups
    evaluator = evaluator_of_files(ground_truth, train_file=ground_truth, thresholds=(1, 3))
    assert evaluator.groups.tolist() == [1, 2]


def test_coco_without_groups_says_how_to_have_them(coco_set, caplog):
    evaluator = evaluator_of_files(coco_set[1])
    assert evaluator.groups.tolist() == [-1, -1, -1]
    assert "give --groups or --train" in caplog.text
    assert "CLASS_STATS_FILE" not in caplog.text


def test_the_difference_is_the_paired_bootstraps(write, ground_truth, tmp_path):
    one, other = write(DETECTIONS, "one"), write(WORSE, "other")
    evaluator = evaluator_of_files(ground_truth)
    options = {"output_dir": tmp_path / "files", "num_replicates": 50}
    differences = evaluate_files(evaluator, one, other, **options)
    assert_same_files(tmp_path / "one", tmp_path / "files")
    assert_same_files(tmp_path / "other", tmp_path / "files" / "compared")
    for task in ("bbox", "segm"):
        matches = [
            [Matches.load(tmp_path / folder / f"matches_{task}.npz")] for folder in ("one", "other")
        ]
        expected = bootstrap_difference(*matches, np.array([0, 2]), 50)
        assert differences[task] == {"method": str(one), "control": str(other)} | {
            metric: pytest.approx(values, nan_ok=True) for metric, values in expected.items()
        }
        one_ap, other_ap = (
            read_results(tmp_path / folder / "results.json")[task]["APr"]
            for folder in ("one", "other")
        )
        assert differences[task]["APr"]["mean"] == pytest.approx(one_ap - other_ap)
        assert one_ap > other_ap
    stored = json.loads((tmp_path / "files" / "differences.json").read_text())
    assert stored["bbox"]["APr"] == differences["bbox"]["APr"]
    assert stored["bbox"]["APc"]["mean"] is None  # there is no common class


def test_the_difference_to_itself_is_zero_and_boxes_are_compared_with_boxes(write, ground_truth):
    one, boxes_alone = write(DETECTIONS, "one"), write(DETECTIONS, "boxes", masks=False)
    evaluator = evaluator_of_files(ground_truth)
    differences = evaluate_files(evaluator, one, boxes_alone, num_replicates=20)
    assert list(differences) == ["bbox"]
    assert differences["bbox"]["AP"] == {"mean": 0, "lo": 0, "hi": 0}


def test_no_predictions_are_ap_0(ground_truth, tmp_path):
    (tmp_path / "nothing.json").write_text("[]")
    evaluator = evaluator_of_files(ground_truth)
    evaluate_files(evaluator, tmp_path / "nothing.json", output_dir=tmp_path / "out")
    results = read_results(tmp_path / "out" / "results.json")
    assert list(results) == ["bbox"]
    assert [results["bbox"][m] for m in ("AP", "APr", "APf", "AR")] == [0] * 4
