"""The evaluation benchmark compares the same work, on a problem of the shape it claims."""

import numpy as np
import pytest

from benchmarks import eval as benchmark
from benchmarks.parts.eval_problem import make_detections, make_ground_truth
from benchmarks.parts.eval_sides import Problem, detectron2_side, our_boxes, our_side

pytest.importorskip("hotcoco")


@pytest.fixture(scope="module")
def problem():
    dataset = make_ground_truth(12)
    return Problem(dataset, make_detections(dataset, with_masks=True))


def test_shape_of_lvis_v1_val():
    dataset = make_ground_truth(600)
    per_image = len(dataset["annotations"]) / len(dataset["images"])
    assert per_image == pytest.approx(246_620 / 19_809, rel=0.1)
    assert len(dataset["categories"]) == 1203
    for image in dataset["images"][:20]:
        present = {a["category_id"] for a in dataset["annotations"] if a["image_id"] == image["id"]}
        assert not present & set(image["neg_category_ids"])
        assert set(image["not_exhaustive_category_ids"]) <= present


def test_detections_lie_in_their_pictures_by_falling_score(problem):
    detections = problem.detections
    ends = detections.boxes[:, :2].astype(float) + detections.boxes[:, 2:]
    assert (detections.boxes[:, :2] >= 0).all()
    assert (detections.boxes[:, 2:] > 0).all()
    assert (ends <= np.array([640, 480]) + 1e-3).all()
    assert (np.bincount(detections.image_index) == 300).all()
    same = np.diff(detections.image_index) == 0
    assert (np.diff(detections.scores)[same] <= 0).all()


def test_both_sides_have_the_same_arrays(problem):
    theirs, ours = detectron2_side(problem), our_side(problem)
    assert theirs.stage_s.keys() == ours.stage_s.keys() == {"bbox", "segm"}
    for task in ("bbox", "segm"):
        for a, b in zip(theirs.arrays[task], ours.arrays[task], strict=True):
            np.testing.assert_array_equal(a, b)
        assert 0.2 < ours.arrays[task].precision[ours.arrays[task].precision > -1].mean() < 0.9
    boxes = our_boxes(problem).arrays["bbox"]
    np.testing.assert_array_equal(boxes.precision, ours.arrays["bbox"].precision)


def test_figures(monkeypatch, problem):
    monkeypatch.setattr(benchmark, "_problem", lambda scale, with_masks: problem)
    monkeypatch.setattr(benchmark, "in_own_process", lambda side, problem: side(problem))
    result = benchmark.run(quick=True)
    speedups = {"speedup_bbox", "speedup_segm", "speedup_evaluate"}
    assert speedups < result.figures.keys()
    assert result.figures["max_abs_difference"] == 0
    assert "Largest difference in any cell of precision and recall: 0." in result.text
