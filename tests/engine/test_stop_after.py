"""A training in slices ends with the weights of one that was not stopped."""

import argparse
from pathlib import Path

import pytest
import torch

from lt_det.engine import run, stop_after
from lt_det.engine.checkpoint import LTCheckpointer
from lt_det.engine.stop_after import UNFINISHED, StopAfter

SHORTEST = 1e-9  # over before the first step


@pytest.fixture
def train(tiny_cfg):
    """Returns a function: a fresh or resumed slice in a folder; whether it stopped early."""
    tiny_cfg.DATASETS.TEST = ()
    tiny_cfg.SOLVER.MAX_ITER = 3

    def _train(folder: Path, minutes: float | None) -> bool:
        cfg = tiny_cfg.clone()
        cfg.OUTPUT_DIR = str(folder)
        folder.mkdir(exist_ok=True)
        torch.manual_seed(0)  # the fresh weights
        try:
            run.train(cfg, resume=True, minutes=minutes)
        except SystemExit as stop:
            return stop.code == UNFINISHED == 75
        return False

    return _train


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "model_final.pth", weights_only=True)["model"]


def test_slices_of_a_step_end_with_the_weights_of_one_training(train, tmp_path):
    assert not train(tmp_path / "whole", None)
    # The third step is the last one anyway: nothing is left to stop for.
    assert [train(tmp_path / "sliced", SHORTEST) for _ in range(3)] == [True, True, False]
    expected, got = weights(tmp_path / "whole"), weights(tmp_path / "sliced")
    assert expected.keys() == got.keys()
    assert all(value.equal(got[name]) for name, value in expected.items())


def test_a_stop_leaves_a_checkpoint_to_resume(train, tmp_path):
    assert train(tmp_path / "sliced", SHORTEST)
    assert (tmp_path / "sliced" / "last_checkpoint").read_text() == "model_0000000.pth"
    assert LTCheckpointer(torch.nn.Linear(1, 1), str(tmp_path / "sliced")).has_checkpoint()


def test_nothing_happens_before_the_time(train, tmp_path):
    assert not train(tmp_path / "whole", 60.0)


def test_the_command_line_brings_the_minutes(tiny_cfg, monkeypatch):
    calls = []
    monkeypatch.setattr(run, "setup", lambda args: tiny_cfg)
    monkeypatch.setattr(run, "train", lambda *args: calls.append(args))
    run.run_from_args(argparse.Namespace(eval_only=False, resume=True, minutes=9.0))
    assert calls == [(tiny_cfg, True, 9.0)]


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("nan")])
def test_minutes_that_cannot_be_are_named(minutes):
    with pytest.raises(ValueError, match="--minutes"):
        StopAfter(minutes)


def test_several_processes_are_refused(monkeypatch):
    monkeypatch.setattr(stop_after.comm, "get_world_size", lambda: 2)
    with pytest.raises(ValueError, match="one process, but there are 2"):
        StopAfter(1.0)
