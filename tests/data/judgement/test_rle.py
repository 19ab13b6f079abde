"""Packed run lengths against pycocotools, which packed them."""

import numpy as np
import pytest
from pycocotools import mask as mask_api

from lt_det.data.judgement import rle
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


def divides(counts: str, pixels: int) -> bool:
    """By `run_lengths`, one code at a time."""
    try:
        runs = run_lengths(counts)
    except ValueError:
        return False
    return bool(runs.min() >= 0 and runs.sum() == pixels)


@pytest.mark.parametrize("at_once", [1, 50, 1 << 17])
def test_many_codes_are_checked_as_one_is(monkeypatch, at_once):
    monkeypatch.setattr(rle, "_AT_ONCE", at_once)
    rng = np.random.default_rng(0)
    codes, pixels = [], []
    for _ in range(300):
        height, width = rng.integers(1, 40, 2).tolist()
        mask = np.asfortranarray(rng.random((height, width)) < rng.random(), dtype=np.uint8)
        code = mask_api.encode(mask)["counts"].decode()
        kind = rng.integers(0, 5)
        if kind == 1:
            code = code[: rng.integers(0, len(code) + 1)]
        elif kind == 2:
            place = rng.integers(0, len(code))
            code = code[:place] + chr(rng.integers(33, 130)) + code[place + 1 :]
        codes.append(code)
        pixels.append(height * width + int(kind == 3))
    codes += ["", "o" * 9, "ä", "hello world"]
    pixels += [0, 1, 1, 9]
    expected = [divides(*pair) for pair in zip(codes, pixels, strict=True)]
    assert 50 < sum(expected) < 250
    found = rle.divide_masks(codes, np.array(pixels))
    # Where one code of a block is no ASCII, all of the block are left to the slow path.
    assert not (found & ~np.array(expected)).any()
    if at_once == 1:
        assert found.tolist() == expected
