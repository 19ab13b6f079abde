"""Both sides of an evaluation, from an annotation file and result records."""

from dataclasses import fields

import numpy as np
from federated_problems import columns_of

from lt_det.evaluation.matching.exhaustive import ExhaustiveTruth
from lt_det.evaluation.matching.federated import FederatedTruth
from lt_det.evaluation.matching.matches import Matches
from lt_det.evaluation.matching.sides import Sides
from lt_det.evaluation.official.coco_api import COCOGroundTruth
from lt_det.evaluation.official.lvis_api import LVISGroundTruth

_FORMATS = {
    "lvis": (LVISGroundTruth, FederatedTruth),
    "coco": (COCOGroundTruth, ExhaustiveTruth),
}


def sides_of(
    path: str, records: list[dict], task: str = "bbox", cap: int = -1, data_format: str = "lvis"
) -> Sides:
    """What the API of a format evaluates."""
    read, build = _FORMATS[data_format]
    ground_truth = read(path)
    truth = build(ground_truth)
    columns = columns_of(records, ground_truth, task)
    return Sides.of(truth, *truth.evaluated(columns, task, cap), task)


def assert_same_matches(found: Matches, expected: Matches) -> None:
    """Equal bits and types."""
    for field in fields(Matches):
        a, b = (getattr(matches, field.name) for matches in (found, expected))
        np.testing.assert_array_equal(a, b, strict=True, err_msg=field.name)
