"""Results files of any framework: read as they are, or refused with all that is wrong."""

import json

import numpy as np
import pytest
from bad_results import BAD_RESULTS, CLASS_OF, NAN, SIZES, entry, rle, without
from toy_lvis import ToyLVIS, random_set

from lt_det.evaluation.files.results_file import read_results_file
from lt_det.evaluation.lvis_evaluator import LTLVISEvaluator
from lt_det.evaluation.official.lvis_api import LVISGroundTruth, run_lvis_eval


@pytest.fixture
def read(tmp_path):
    """Returns a function that reads entries, or a text, from a file."""

    def _read(content):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / "results.json").write_text(text)
        return read_results_file(tmp_path / "results.json", SIZES, CLASS_OF)

    return _read


def test_columns_by_image_in_the_order_of_the_file(read):
    box = [0.1, 0.2, 1.3, 1 / 3]
    entries = [entry(score=0.25), entry(image_id=11, category_id=100, bbox=box), entry(score=1)]
    first, nothing, last = read(entries)
    assert [d.image_id for d in (first, nothing, last)] == [7, 9, 11]
    assert first.image_size == (4, 6)
    assert first.scores.tolist() == [0.25, 1]
    assert first.classes.tolist() == [0, 0]
    assert last.classes.tolist() == [1]
    assert last.boxes.tolist() == [box]  # in float32 it would be another
    assert last.rles == [rle()["counts"].encode()]
    assert (nothing.boxes.shape, nothing.rles) == ((0, 4), [])


def test_boxes_or_masks_alone(read):
    boxes_alone = read([without("segmentation")])[0]
    assert boxes_alone.rles is None
    assert boxes_alone.boxes.tolist() == [[1, 0, 2, 4]]
    masks_alone = read([without("bbox")])[0]
    assert masks_alone.boxes is None
    assert masks_alone.rles == [rle()["counts"].encode()]
    # Some frameworks write empty masks of boxes.
    assert read([entry(segmentation=[])])[0].rles is None


def test_uncompressed_run_lengths(read):
    counts = [4, 8, 12]
    (code,) = read([entry(segmentation={"size": [4, 6], "counts": counts})])[0].rles
    assert code == rle()["counts"].encode()


def test_no_detection_at_all(read):
    detections = read([])
    assert [len(d.scores) for d in detections] == [0, 0, 0]
    assert all(d.rles is None for d in detections)


@pytest.mark.parametrize("name", BAD_RESULTS)
def test_faults_name_file_entry_and_value(read, name):
    bad, kind, value = BAD_RESULTS[name]
    with pytest.raises(ValueError, match=rf"(?s)results\.json has 1 fault:.*{kind}") as error:
        read([entry(), bad, entry()])
    assert error.match(rf"\| *1 \| entry 1.*{value}")


def test_all_faults_at_once(read):
    bad = [entry(score=NAN)] * 5 + [entry(image_id=8, bbox=[0, 0, -1, 1])]
    with pytest.raises(ValueError, match="has 7 faults") as error:
        read([entry(), *bad])
    message = str(error.value)
    assert "|        5 | entry 1: nan; entry 2: nan; entry 3: nan  " in message
    assert "entry 6: 8 (" in message
    assert "entry 6: [0, 0, -1, 1]" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (json.dumps([entry(), entry()])[:-30], r"results\.json is not valid JSON \(truncated"),
        ("", r"results\.json is not valid JSON"),
        ('{"annotations": []}', r"results\.json holds a dict, expected a list of detections"),
    ],
)
def test_a_file_that_is_no_list(read, text, message):
    with pytest.raises(ValueError, match=message):
        read(text)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Results file not found: .*gone\.json\. Give"):
        read_results_file(tmp_path / "gone.json", SIZES, CLASS_OF)


def test_corners_instead_of_sizes_are_warned_of(read, caplog):
    read([without("segmentation")])
    assert "x1, y1" not in caplog.text
    read([entry(bbox=[4, 2, 6, 4])])  # ends at 10, 6 of a picture of 6 x 4
    assert "1 of 1 boxes end outside" in caplog.text
    assert "not x1, y1, x2, y2" in caplog.text


def test_numbers_are_the_lvis_apis_bit_for_bit(tmp_path):
    """Another framework's float64 boxes, shuffled over the pictures."""
    toy, results = random_set(3)
    ground_truth = toy.write(tmp_path / "gt.json")
    results = [results[i] for i in np.random.default_rng(0).permutation(len(results))]
    (tmp_path / "results.json").write_text(json.dumps(results))
    evaluator = LTLVISEvaluator.from_file(ground_truth, distributed=False)
    for detections in evaluator.read_results(tmp_path / "results.json"):
        evaluator.add(detections)
    ours = evaluator.evaluate()
    assert list(ours) == ["bbox"]
    official = run_lvis_eval(LVISGroundTruth(ground_truth), results, "bbox")
    official.summarize()
    for metric in ("AP", "AP50", "AP75", "APr", "APc", "APf"):
        assert ours["bbox"][metric] == official.results[metric] * 100, metric
    assert 5 < ours["bbox"]["AP"] < 95


def test_masks_alone_have_no_box_ap(tmp_path):
    toy = ToyLVIS("r")
    toy.image(1, 4, 6)
    toy.box(1, 1, (1, 0, 2, 4))
    (tmp_path / "results.json").write_text(
        json.dumps([{"image_id": 1, "category_id": 1, "score": 1, "segmentation": rle()}])
    )
    options = {"distributed": False, "output_dir": str(tmp_path / "out"), "save_predictions": True}
    evaluator = LTLVISEvaluator.from_file(toy.write(tmp_path / "gt.json"), **options)
    for detections in evaluator.read_results(tmp_path / "results.json"):
        evaluator.add(detections)
    results = evaluator.evaluate()
    assert list(results) == ["segm"]
    assert results["segm"]["APr"] == pytest.approx(100)
    (written,) = json.loads((tmp_path / "out" / "lvis_instances_results.json").read_text())
    assert "bbox" not in written
