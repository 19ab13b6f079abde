"""The folder of a generated set: same seed, same bytes; never overwritten, never half made."""

import dataclasses

import pytest
from PIL import Image
from tiny_openmoji import SPEC, bytes_of

from lt_det.openmoji import writer as openmoji_writer
from lt_det.openmoji.writer import generate


def test_same_seed_gives_same_bytes_whatever_the_number_of_processes(tiny_set, tmp_path):
    again = generate(SPEC, tmp_path / "again", workers=1, progress=False)
    assert bytes_of(again) == bytes_of(tiny_set)


def test_another_seed_gives_another_set(tiny_set, tmp_path):
    other = bytes_of(generate(SPEC, tmp_path / "other", seed=1, workers=2, progress=False))
    mine = bytes_of(tiny_set)
    assert other["train/000000.png"] != mine["train/000000.png"]
    assert other["val.json"] != mine["val.json"]


def test_the_sheets_and_the_attribution_are_written(tiny_set):
    for name in ("contact_sheet.png", "families.png"):
        with Image.open(tiny_set / name) as sheet:
            colours = sheet.convert("RGB").getcolors(maxcolors=1 << 24)
            assert len(colours) > 20  # drawings on it, not a blank page
    assert "CC BY-SA 4.0" in (tiny_set / "ATTRIBUTION.txt").read_text()


def test_a_finished_set_is_left_alone_and_another_one_is_never_overwritten(tiny_set):
    before = (tiny_set / "train.json").stat().st_mtime_ns
    assert generate(SPEC, tiny_set, progress=False) == tiny_set
    assert (tiny_set / "train.json").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="another seed or other settings"):
        generate(SPEC, tiny_set, seed=1, progress=False)
    with pytest.raises(ValueError, match="another seed or other settings"):
        generate(dataclasses.replace(SPEC, num_val=9), tiny_set, progress=False)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="is no generated data set"):
        generate(SPEC, tmp_path, progress=False)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_an_interrupted_run_leaves_no_set_and_the_next_one_makes_it(
    tiny_set, tmp_path, monkeypatch
):
    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(openmoji_writer, "write_contact_sheet", interrupt)
        with pytest.raises(KeyboardInterrupt):
            generate(SPEC, tmp_path / "set", workers=2, progress=False)
    assert not (tmp_path / "set").exists()
    generate(SPEC, tmp_path / "set", workers=2, progress=False)
    assert bytes_of(tmp_path / "set") == bytes_of(tiny_set)
