"""Every tool reads an odd file alike, and as the one who damaged it says is right."""

import functools
from pathlib import Path

import pytest
from damaged_files import DAMAGES, OddFile, check, damaged, files, write_images

from lt_det.data.judgement import annotations as flags

NUM_FILES = 50


@pytest.fixture(scope="module")
def image_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("odd_files") / "images")


@functools.cache
def _files() -> list[OddFile]:
    return files(NUM_FILES)


@pytest.mark.parametrize("number", range(NUM_FILES))
def test_all_tools_agree_with_the_truth(number, image_root, tmp_path, monkeypatch):
    if number % 3 == 0:
        monkeypatch.setenv("LT_DET_CACHE", "")
    check(_files()[number], tmp_path, image_root)


@pytest.mark.parametrize("data_format", ["coco", "lvis"])
@pytest.mark.parametrize("seed", [0, 2])
def test_a_clean_file_is_accepted_without_a_word(data_format, seed, image_root, tmp_path):
    check(OddFile.draw(seed, data_format), tmp_path, image_root)


@pytest.mark.runslow
@pytest.mark.parametrize("seed", range(1, 11))
def test_all_tools_agree_on_many_files(seed, image_root, tmp_path, monkeypatch):
    """500 files, without and with a cache that other files have filled."""
    for number, odd in enumerate(files(NUM_FILES, seed)):
        monkeypatch.setenv("LT_DET_CACHE", str(tmp_path / "cache") if number % 2 else "")
        folder = tmp_path / str(number)
        folder.mkdir()
        check(odd, folder, image_root)


def test_fifty_files_show_every_damage():
    assert {name for odd in _files() for name in odd.damages} == set(DAMAGES)


def test_files_are_of_both_formats_and_both_verdicts():
    kinds = [(odd.data_format, odd.is_refused) for odd in _files()]
    assert min(kinds.count(kind) for kind in set(kinds)) >= 5
    assert len(set(kinds)) == 4


def test_null_read_as_a_crowd_is_found(image_root, tmp_path, monkeypatch):
    """The property fails if the judgement is wrong in all tools alike."""
    judge_flag = flags.judge_flag

    def null_is_a_crowd(key, value, *others):
        return int(key == "iscrowd") if value is None else judge_flag(key, value, *others)

    odd = damaged(0, "coco", ["iscrowd_null"])
    check(odd, tmp_path, image_root)
    monkeypatch.setattr(flags, "judge_flag", null_is_a_crowd)
    monkeypatch.setenv("LT_DET_CACHE", "")
    with pytest.raises(AssertionError, match="iscrowd_null"):
        check(odd, tmp_path, image_root)
