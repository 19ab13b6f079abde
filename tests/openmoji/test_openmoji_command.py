"""The command: presets and options become a set, mistakes one line."""

import argparse
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from paths import ROOT, SHARED_DATA

from lt_det.openmoji.command import add_spec_arguments, read_class_counts, run_from_args
from lt_det.openmoji.spec import PRESETS, OpenMojiSpec

TOOL = ROOT / "tools" / "make_openmoji.py"


@pytest.fixture
def captured(monkeypatch, tmp_path):
    """Runs the command's logic; returns what `generate` was asked for instead of making it."""
    calls = []
    module = "lt_det.openmoji.command"
    monkeypatch.setattr(f"{module}.generate", lambda *a, **k: calls.append((a, k)) or tmp_path)
    monkeypatch.setattr(f"{module}.split_table", lambda folder: "")

    def run(*options):
        parser = argparse.ArgumentParser()
        parser.add_argument("--preset", default="quick")
        parser.add_argument("--output")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--workers", type=int)
        parser.add_argument("--class-counts")
        parser.add_argument("--live", action="store_true")
        add_spec_arguments(parser)
        run_from_args(parser.parse_args([str(option) for option in options]))
        return calls.pop()

    return run


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_a_preset_is_taken_as_it_is(captured, preset, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", "somewhere")
    (spec, folder), options = captured("--preset", preset)
    assert spec == PRESETS[preset]()
    assert folder == os.path.join("somewhere", f"openmoji_{preset}")
    assert options == {"seed": 0, "workers": None, "live": False}


def test_options_change_single_fields(captured):
    (spec, folder), options = captured(
        *("--num-classes", 40, "--picture-size", 96, "--objects-per-picture", 1, 3),
        *("--min-visible", 0.25, "--output", "here", "--seed", 7, "--workers", 2),
    )
    expected = OpenMojiSpec(
        num_classes=40, picture_size=96, objects_per_picture=(1, 3), min_visible=0.25
    )
    assert spec == expected
    assert (folder, options) == ("here", {"seed": 7, "workers": 2, "live": False})


def test_scale_and_live(captured, monkeypatch):
    (spec, folder), options = captured("--scale", 0.5, "--num-dev", 7, "--live", "--output", "here")
    expected = PRESETS["quick"]()
    numbers = {"num_train": 1200, "num_dev": 7, "num_val": 300, "num_val_uniform": 150}
    assert spec == dataclasses.replace(expected, **numbers)
    assert (folder, options["live"]) == ("here", True)
    monkeypatch.setenv("DETECTRON2_DATASETS", "somewhere")
    (_, folder), _ = captured("--live")
    assert folder == os.path.join("somewhere", "openmoji_live_quick")


def test_class_counts_bring_their_number_of_classes(captured, tmp_path):
    path = tmp_path / "counts.json"
    path.write_text(json.dumps([{"image_count": n} for n in (5, 900, 30)]))
    (spec, _), _ = captured("--class-counts", path, "--output", tmp_path / "set")
    assert spec.num_classes == 3
    assert spec.class_counts == (5.0, 900.0, 30.0)
    assert spec.class_rates() == pytest.approx([900 / 935, 30 / 935, 5 / 935])
    with pytest.raises(ValueError, match=r"num_classes = 4 counts, but got 3"):
        captured("--class-counts", path, "--num-classes", 4, "--output", tmp_path / "set")


@pytest.mark.parametrize("option", ["--seed", "--num-train", "--scale"])
def test_other_settings_do_not_take_the_name_of_a_preset(captured, option):
    with pytest.raises(ValueError, match="--output"):
        captured(option, 2)


@pytest.mark.parametrize(
    "text", ["", "[", "7", '{"images": []}', '[{"name": "cat"}]', '[{"image_count": null}]', "[]"]
)
def test_a_file_without_counts_is_named(tmp_path, text):
    path = tmp_path / "broken.json"
    path.write_text(text)
    expected = "has no categories" if text == "[]" else "is not a JSON list of .* with image_count"
    with pytest.raises(ValueError, match=rf"broken\.json {expected}"):
        read_class_counts(path)


def test_class_counts_are_read_from_a_list_or_a_whole_annotation_file(tiny_set, tmp_path):
    categories = json.loads((tiny_set / "train.json").read_text())["categories"]
    listed = tmp_path / "list.json"
    listed.write_text(json.dumps(categories))
    expected = tuple(float(c["image_count"]) for c in categories)
    assert read_class_counts(listed) == read_class_counts(tiny_set / "train.json") == expected


def test_class_counts_that_are_none_are_refused_by_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        read_class_counts(tmp_path / "nowhere.json")


def test_the_real_class_counts_of_lvis_can_be_read(captured, tmp_path):
    path = SHARED_DATA / "lvis_v1_train_cat_info.json"
    if not path.is_file():
        pytest.skip(f"no {path}: the file of LVIS v1's class statistics is not part of lt_det")
    (spec, _), _ = captured(
        "--preset", "lvis_v1", "--class-counts", path, "--output", tmp_path / "set"
    )
    assert spec.num_classes == 1203
    # Detectron2 ships the same counts, and the preset takes those.
    assert sorted(spec.class_counts) == sorted(PRESETS["lvis_v1"]().class_counts)


@pytest.mark.integration
def test_a_mistake_ends_in_one_line_and_exit_code_1(tmp_path):
    command = [sys.executable, TOOL, "--preset", "tiny", "--min-visible", "0"]
    command += ["--output", tmp_path / "set"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "make_openmoji.py: Expected `min_visible` to be in (0, 1], but got 0.0"
    )
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.integration
def test_ctrl_c_ends_all_processes_and_leaves_no_set(tmp_path):
    command = [sys.executable, TOOL, "--preset", "tiny", "--num-train", "20000", "--workers", "2"]
    process = subprocess.Popen(
        [*command, "--output", tmp_path / "set"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A background shell ignores SIGINT, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("set.partial-*/train/*.png")):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        # As a terminal does it: to every process of the group.
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "Traceback" not in stderr
        assert "interrupted" in stderr
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)  # no worker is left behind
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert not list(tmp_path.iterdir())
