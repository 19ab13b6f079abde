"""Results files against annotation files: the evaluators' numbers, without a registered set."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Instances
from toy import ToyLVIS, make_instances
from toy_coco import CATEGORY_IDS, IMAGE_COUNT, write_toy_coco

from lt_det.data.coco import register_coco_format
from lt_det.evaluation.bootstrap import bootstrap_difference
from lt_det.evaluation.coco_evaluator import LTCOCOEvaluator
from lt_det.evaluation.file_evaluation import evaluate_files, evaluator_of_files
from lt_det.evaluation.lvis_evaluator import PREDICTIONS_FILE, LTLVISEvaluator
from lt_det.evaluation.matches import Matches
from lt_det.evaluation.report import read_results

TOOL = Path(__file__).parents[2] / "tools" / "evaluate.py"
WRITTEN = ("results.json", "per_class.csv")
A, B, C = (10, 10, 20, 20), (50, 50, 40, 30), (0, 80, 10, 10)


@pytest.fixture
def ground_truth(tmp_path):
    """Four pictures of a rare and a frequent class."""
    toy = ToyLVIS("rf")
    for image_id in (1, 2, 3, 4):
        toy.image(image_id, negative=[1] if image_id == 4 else [])
        toy.box(image_id, 2, B)
    toy.box(1, 1, A)
    toy.box(2, 1, A)
    return toy.write(tmp_path / "gt.json")


DETECTIONS = {
    1: [(0, 0.9, A), (1, 0.7, B), (1, 0.6, (48, 52, 40, 30))],
    2: [(0, 0.8, C), (0, 0.3, A), (1, 0.95, (52, 50, 40, 36))],
    4: [(0, 0.85, A), (1, 0.2, B)],
}
WORSE = {1: [(0, 0.1, A)], 2: [(0, 0.8, C), (1, 0.9, (55, 50, 40, 36))]}


@pytest.fixture
def write(ground_truth, register, tmp_path):
    """Returns a function that has LTLVISEvaluator write detections to a folder."""

    def _write(detections, folder, masks=True) -> Path:
        options = {
            "distributed": False,
            "output_dir": str(tmp_path / folder),
            "save_predictions": True,
        }
        evaluator = LTLVISEvaluator(register(ground_truth), **options)
        for image_id in (1, 2, 3, 4):
            instances = make_instances(detections.get(image_id, ()), masks=masks)
            evaluator.process([{"image_id": image_id}], [{"instances": instances}])
        evaluator.evaluate()
        return tmp_path / folder / PREDICTIONS_FILE

    return _write


def assert_same_files(folder, other, tasks=("bbox", "segm")):
    for name in WRITTEN:
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name
    for task in tasks:
        ours, theirs = (Matches.load(path / f"matches_{task}.npz") for path in (folder, other))
        for column in vars(ours):
            np.testing.assert_array_equal(getattr(ours, column), getattr(theirs, column))


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


@pytest.fixture
def coco_set(tmp_path):
    """Registered name and annotation file of the toy set in the COCO format."""
    name, folder = "lt_det_test_file_evaluation", write_toy_coco(tmp_path / "coco")
    register_coco_format(name, folder / "annotations.json", folder / "images")
    DatasetCatalog.get(name)
    yield name, folder / "annotations.json"
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


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


def test_masks_against_boxes_is_refused(write, ground_truth, tmp_path):
    boxes_alone = write(DETECTIONS, "boxes", masks=False)
    masks = json.loads(write(DETECTIONS, "masks").read_text())
    for record in masks:
        del record["bbox"]
    (tmp_path / "masks.json").write_text(json.dumps(masks))
    with pytest.raises(ValueError, match=r"cannot be compared: one holds boxes"):
        evaluate_files(evaluator_of_files(ground_truth), boxes_alone, tmp_path / "masks.json")


def test_no_predictions_are_ap_0(ground_truth, tmp_path):
    (tmp_path / "nothing.json").write_text("[]")
    evaluator = evaluator_of_files(ground_truth)
    evaluate_files(evaluator, tmp_path / "nothing.json", output_dir=tmp_path / "out")
    results = read_results(tmp_path / "out" / "results.json")
    assert list(results) == ["bbox"]
    assert [results["bbox"][m] for m in ("AP", "APr", "APf", "AR")] == [0] * 4


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


# --- The command --------------------------------------------------------------------------------


@pytest.fixture
def tool(monkeypatch):
    spec = importlib.util.spec_from_file_location("tool_evaluate", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # It would stay for all tests to come.
    monkeypatch.setattr(module, "setup_logger", lambda **options: None)
    return module


def test_command_says_in_one_line_what_is_wrong(tool, ground_truth, tmp_path, capsys):
    (tmp_path / "cut.json").write_text('[{"image_id": 1, "score"')
    arguments = ["--predictions", str(tmp_path / "cut.json"), "--ground-truth", ground_truth]
    assert tool.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"evaluate.py: {tmp_path / 'cut.json'} is not valid JSON (truncated")
    assert len(error.splitlines()) == 1


def test_command_refuses_two_kinds_of_groups(tool, capsys):
    groups = ("--groups", "g.json", "--group-thresholds", "10", "100")
    with pytest.raises(SystemExit):
        tool.main(["--predictions", "p", "--ground-truth", "g", *groups])
    assert "not allowed with" in capsys.readouterr().err


@pytest.mark.integration
def test_command_prints_the_tables(write, ground_truth, tmp_path):
    one, other = write(DETECTIONS, "one"), write(WORSE, "other")
    files = ["--predictions", one, "--compare", other, "--ground-truth", ground_truth]
    command = [sys.executable, TOOL, *files, "--format", "lvis", "--output", tmp_path / "out"]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    ap = read_results(tmp_path / "one" / "results.json")["bbox"]["AP"]
    assert f"| bbox | {ap:.2f} |" in " ".join(done.stdout.split())
    assert done.stdout.count("Results in percent") == 2
    assert done.stdout.count("Paired differences in") == 2
    assert f"| {one} | {other} |" in done.stdout
    assert_same_files(tmp_path / "one", tmp_path / "out")
