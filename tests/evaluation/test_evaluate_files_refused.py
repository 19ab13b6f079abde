"""Results files, annotation files and groups that ``evaluate_files`` refuses."""

import json

import pytest
from toy_lvis import ToyLVIS
from written_files import DETECTIONS

from lt_det.evaluation.evaluate_files import evaluate_files, evaluator_of_files


def test_masks_against_boxes_is_refused(write, ground_truth, tmp_path):
    boxes_alone = write(DETECTIONS, "boxes", masks=False)
    masks = json.loads(write(DETECTIONS, "masks").read_text())
    for record in masks:
        del record["bbox"]
    (tmp_path / "masks.json").write_text(json.dumps(masks))
    with pytest.raises(ValueError, match=r"cannot be compared: one holds boxes"):
        evaluate_files(evaluator_of_files(ground_truth), boxes_alone, tmp_path / "masks.json")


def test_a_results_file_is_not_overwritten(write, ground_truth, tmp_path):
    predictions = write(DETECTIONS, "one").rename(tmp_path / "results.json")
    with pytest.raises(ValueError, match="would be overwritten: choose another output folder"):
        evaluate_files(evaluator_of_files(ground_truth), predictions, output_dir=tmp_path)


def test_ground_truth_without_annotations_is_refused(tmp_path):
    toy = ToyLVIS("r")
    toy.image(1)
    with pytest.raises(ValueError, match=r"gt\.json has no annotations \(a test set\?\)"):
        evaluator_of_files(toy.write(tmp_path / "gt.json"))


def test_missing_files(ground_truth, tmp_path):
    gone = tmp_path / "gone.json"
    with pytest.raises(FileNotFoundError, match=r"Annotation file not found: .*gone\.json"):
        evaluator_of_files(gone)
    with pytest.raises(FileNotFoundError, match=r"Annotation file not found: .*gone\.json"):
        evaluator_of_files(ground_truth, train_file=gone)
    with pytest.raises(FileNotFoundError, match=r"Groups file not found: .*gone\.json.*'rare'"):
        evaluator_of_files(ground_truth, groups_file=gone)
    with pytest.raises(FileNotFoundError, match=r"Results file not found: .*gone\.json"):
        evaluate_files(evaluator_of_files(ground_truth), gone)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"1": "rare"}, r"1 fault:(?s:.*)category of the ground truth has no group .*\b2 \|"),
        ({"1": "rare", "2": "common", "3": "rare"}, r"(?s)1 fault:.*is not in the ground.*\b3 \|"),
        ({"1": "r", "2": "common"}, r"(?s)1 fault:.*group is none of rare, common, .*1: 'r'"),
        (["rare", "common"], "holds a list, expected a JSON object of category id"),
    ],
)
def test_bad_groups(ground_truth, tmp_path, groups, message):
    (tmp_path / "groups.json").write_text(json.dumps(groups))
    with pytest.raises(ValueError, match=message):
        evaluator_of_files(ground_truth, groups_file=tmp_path / "groups.json")


def test_bad_training_files(ground_truth, coco_set, tmp_path):
    with pytest.raises(ValueError, match=r"other categories than .* has the ids \[1, "):
        evaluator_of_files(ground_truth, train_file=coco_set[1])
    toy = ToyLVIS("rf")
    toy.image(1)
    with pytest.raises(ValueError, match="no annotations to count"):
        evaluator_of_files(ground_truth, train_file=toy.write(tmp_path / "train.json"))
    with pytest.raises(ValueError, match="--group-thresholds needs --train"):
        evaluator_of_files(ground_truth, thresholds=(10, 100))
    with pytest.raises(ValueError, match="two increasing positive image counts"):
        evaluator_of_files(ground_truth, train_file=ground_truth, thresholds=(100, 10))
