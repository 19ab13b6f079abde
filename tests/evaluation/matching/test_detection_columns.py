"""Detections in columns against their result dicts."""

import numpy as np
import pycocotools.mask as mask_utils
import pytest
from federated_problems import columns_of, random_problem
from lvis import LVISResults

from lt_det.evaluation.matching.detection_columns import DetectionColumns
from lt_det.evaluation.official.lvis_api import LVISGroundTruth


@pytest.fixture(params=["bbox", "segm"])
def problem(request, tmp_path):
    """Task, records by image of the file, and their columns."""
    problems = (random_problem(seed, request.param) for seed in range(100))
    toy, records, _ = next(p for p in problems if len(p.results) > 40)
    ground_truth = LVISGroundTruth(toy.write(tmp_path / "gt.json"))
    records = [r for i in ground_truth.imgs for r in records if r["image_id"] == i]
    return request.param, records, columns_of(records, ground_truth, request.param)


def as_text(records):
    """With run-length codes as files have them."""
    for record in records:
        if "segmentation" in record:
            counts = record["segmentation"]["counts"]
            text = counts.decode() if isinstance(counts, bytes) else counts
            record = record | {"segmentation": record["segmentation"] | {"counts": text}}
        yield record


def test_records_come_back(problem):
    task, records, columns = problem
    assert list(as_text(columns.records(task))) == records


@pytest.mark.parametrize("limit", [0, 1, 3, 10, 1000, -1])
def test_best_per_image_as_the_lvis_api(problem, limit):
    task, records, columns = problem
    found = list(as_text(columns.best_per_image(limit).records(task)))
    expected = records
    if limit >= 0:
        expected = LVISResults.limit_dets_per_image(None, records, limit)
    # The API sorts each image's by score; their order among equal scores is kept by both.
    key = lambda r: (columns.image_ids.index(r["image_id"]), -r["score"])  # noqa: E731
    assert sorted(found, key=key) == sorted(expected, key=key)


def test_areas(problem):
    task, records, columns = problem
    expected = [
        r["bbox"][2] * r["bbox"][3] if task == "bbox" else mask_utils.area(r["segmentation"])
        for r in records
    ]
    np.testing.assert_array_equal(columns.areas(task), np.array(expected, dtype=np.float64))


def test_take_and_reorder(problem):
    task, records, columns = problem
    positions = np.random.default_rng(0).permutation(len(records))[:7]
    found = columns.reordered(positions)
    assert list(as_text(found.records(task))) == [records[i] for i in positions]
    assert list(as_text(columns.take(np.sort(positions)).records(task))) == [
        records[i] for i in sorted(positions)
    ]
    assert found.image_ids == columns.image_ids


def test_nothing():
    columns = DetectionColumns.of([], {0: 7})
    assert len(columns) == 0
    assert list(columns.records("bbox")) == list(columns.records("segm")) == []
    assert len(columns.best_per_image(1)) == 0
    assert columns.areas("bbox").shape == columns.areas("segm").shape == (0,)
