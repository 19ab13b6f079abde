"""Detections that LTLVISEvaluator writes and that are evaluated again as files."""

import numpy as np
from toy_lvis import ELSEWHERE, A, B

from lt_det.evaluation.matching.matches import Matches

WRITTEN = ("results.json", "per_class.csv")
DETECTIONS = {
    1: [(0, 0.9, A), (1, 0.7, B), (1, 0.6, (48, 52, 40, 30))],
    2: [(0, 0.8, ELSEWHERE), (0, 0.3, A), (1, 0.95, (52, 50, 40, 36))],
    4: [(0, 0.85, A), (1, 0.2, B)],
}
WORSE = {1: [(0, 0.1, A)], 2: [(0, 0.8, ELSEWHERE), (1, 0.9, (55, 50, 40, 36))]}


def assert_same_files(folder, other, tasks=("bbox", "segm")):
    for name in WRITTEN:
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name
    for task in tasks:
        ours, theirs = (Matches.load(path / f"matches_{task}.npz") for path in (folder, other))
        for column in vars(ours):
            np.testing.assert_array_equal(getattr(ours, column), getattr(theirs, column))
