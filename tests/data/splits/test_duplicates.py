"""Identical and near-duplicate images within and across splits."""

import shutil
from pathlib import Path

import pytest
from PIL import Image
from toy_images import cut_to_half, textured

from lt_det.data.images.reader import ImageReader
from lt_det.data.splits.duplicates import describe_duplicates, find_duplicates


@pytest.fixture
def splits(tmp_path):
    """Two splits of six images each that have nothing in common."""
    files = {}
    for number, name in enumerate(("train", "val")):
        (tmp_path / name).mkdir()
        files[name] = []
        for image in range(6):
            path = tmp_path / name / f"{name}{image}.png"
            textured(10 * number + image).save(path)
            files[name].append(str(path))
    return files


def described(files):
    return describe_duplicates(find_duplicates(files, ImageReader()), list(files)).splitlines()[1:]


def test_different_images_are_no_duplicates(splits):
    assert described(splits) == ["No identical images and no near-duplicates."]


def test_the_same_bytes_under_another_name_are_a_leak(splits):
    shutil.copy(splits["train"][2], splits["val"][4])
    assert described(splits) == [
        "LEAK between train and val: 1 pair of identical images (same bytes or same pixels)",
        f"  {splits['train'][2]} = {splits['val'][4]}",
    ]


def test_the_same_pixels_in_another_format_are_identical(splits):
    Image.open(splits["train"][2]).save(splits["val"][4], "BMP")
    (pair,) = find_duplicates(splits, ImageReader()).identical
    assert pair == (("train", splits["train"][2]), ("val", splits["val"][4]))


def test_near_duplicates_come_after_identical_ones_and_leaks_first(splits):
    train, val = splits["train"], splits["val"]
    shutil.copy(train[0], train[5])
    Image.open(val[0]).crop((6, 4, 160, 120)).save(val[1])
    Image.open(train[3]).save(val[4], "JPEG", quality=40)
    lines = described(splits)
    assert [line.split(":")[0] for line in lines if not line.startswith(" ")] == [
        "LEAK between train and val",
        "Within train",
        "Within val",
    ]
    assert lines[1].startswith(f"  {train[3]} ~ {val[4]} (similarity ")
    assert lines[3] == f"  {train[0]} = {train[5]}"
    assert lines[5].startswith(f"  {val[0]} ~ {val[1]} (similarity ")


def test_a_near_duplicate_of_an_image_that_is_in_both_splits_is_a_leak_too(splits):
    train, val = splits["train"], splits["val"]
    shutil.copy(train[0], val[0])
    Image.open(train[0]).resize((80, 60)).save(train[5])
    lines = [line.split(" (")[0] for line in described(splits) if not line.startswith(" ")]
    assert lines == [
        "LEAK between train and val: 1 pair of identical images",
        "LEAK between train and val: 1 pair of near-duplicates",
        "Within train: 1 pair of near-duplicates",
    ]


def test_a_split_that_is_the_other_one_has_every_image_in_common(splits):
    lines = described({"train": splits["train"], "val": splits["train"]})
    assert lines[0].startswith("LEAK between train and val: 6 pairs of identical images")
    assert lines[-1] == "  and 1 more"
    assert len(lines) == 7


def test_broken_images_are_left_out_and_plain_ones_counted(splits):
    shutil.copy(splits["train"][2], splits["val"][4])
    for path in (splits["train"][2], splits["val"][4]):
        cut_to_half(Path(path))
    Image.new("RGB", (9, 9), (0, 0, 200)).save(splits["val"][0])
    Image.new("RGB", (9, 9), (0, 0, 201)).save(splits["train"][0])
    first, plain = described(splits)
    assert first == "No identical images and no near-duplicates."
    assert plain.startswith("2 images of nearly one colour were not searched")


def test_a_file_that_is_listed_twice_is_an_identical_pair(splits):
    path = splits["train"][3]
    splits["train"].append(path)
    assert described(splits) == [
        "Within train: 1 pair of identical images (same bytes or same pixels)",
        f"  {path} = {path}",
    ]
