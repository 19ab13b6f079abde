import numpy as np
import pytest

from lt_det.evaluation.metrics.gradient_history import GradientHistory


def test_ratio_is_of_all_steps_so_far():
    sums = GradientHistory(
        np.array([10, 20]), np.array([[1.0, 0.0], [2.0, 0.0]]), np.array([[4.0, 0.0], [8.0, 5.0]])
    )
    np.testing.assert_array_equal(sums.ratio(), [[0.25, np.nan], [0.25, 0.0]])


def test_file_keeps_every_digit(tmp_path):
    values = np.random.default_rng(0).random((2, 3, 4)) * 1e-7
    saved = GradientHistory(np.array([5, 10, 12]), *values)
    saved.save(tmp_path / "a.csv")
    loaded = GradientHistory.load(tmp_path / "a.csv")
    for name in ("iteration", "positive", "negative"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(saved, name))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "iteration,class_id\n1,0\n",
        "iteration,class_id,positive,negative\n1,0,x,1\n",
        "iteration,class_id,positive,negative\n1,0,1,1\n1,1,1,1\n2,0,1,1\n",
        "iteration,class_id,positive,negative\n1,1,1,1\n1,0,1,1\n",
    ],
)
def test_other_files_are_named(tmp_path, text):
    (tmp_path / "b.csv").write_text(text)
    with pytest.raises(ValueError, match=r"b\.csv' is not a gradient_ratio\.csv"):
        GradientHistory.load(tmp_path / "b.csv")
