"""Packed run lengths against pycocotools, which packed them."""

import numpy as np
import pytest
from pycocotools import mask as mask_api

from lt_det.data.judgement.rle import run_lengths


@pytest.mark.parametrize("density", [0.0, 0.02, 0.5, 0.98, 1.0])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (640, 480)])
def test_run_lengths_of_random_masks(size, density):
    mask = (np.random.default_rng(3).random(size) < density).astype(np.uint8)
    counts = mask_api.encode(np.asfortranarray(mask))["counts"].decode()
    runs = run_lengths(counts)
    values = np.arange(len(runs)) % 2
    assert np.array_equal(np.repeat(values, runs), mask.ravel(order="F"))


@pytest.mark.parametrize("runs", [[0], [9216], [3, 1, 9212], [10**9, 5, 1, 10**9, 7, 0, 0, 4]])
def test_any_run_lengths(runs):
    packed = mask_api.frPyObjects({"size": [1, sum(runs)], "counts": runs}, 1, sum(runs))
    assert run_lengths(packed["counts"].decode()).tolist() == runs


@pytest.mark.parametrize("text", ["", "hello world", "5P", "ooooooooooo0", "5 5", "é", "\n"])
def test_other_text_is_refused(text):
    with pytest.raises(ValueError, match="not run lengths"):
        run_lengths(text)
