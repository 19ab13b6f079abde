"""Ctrl-C ends the step and writes a checkpoint; a resume ends as if nothing had happened."""

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from detectron2.engine import HookBase
from paths import ROOT

from lt_det.engine import run
from lt_det.engine.trainer import LTTrainer

MAX_ITER = 5


class CtrlC(HookBase):
    """Ctrl-C in the middle of a step, as often as is said."""

    def __init__(self, step: int, times: int = 1):
        self.step, self.times = step, times

    def before_step(self):
        if self.trainer.iter == self.step:
            for _ in range(self.times):
                os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def train(tiny_cfg):
    """Train in a folder; with ``stop`` Ctrl-C comes in that step. Whether it was interrupted."""
    tiny_cfg.SOLVER.MAX_ITER = MAX_ITER
    tiny_cfg.SOLVER.CHECKPOINT_PERIOD = 100
    tiny_cfg.SOLVER.STEPS = (2, 4)
    tiny_cfg.DATASETS.TEST = ()

    def _train(output: Path, stop: int | None = None, times: int = 1) -> bool:
        cfg = tiny_cfg.clone()
        cfg.OUTPUT_DIR = str(output)
        output.mkdir(exist_ok=True)
        torch.manual_seed(0)
        trainer = LTTrainer(cfg)
        trainer.resume_or_load(resume=True)
        if stop is not None:
            trainer.register_hooks([CtrlC(stop, times)])
        try:
            trainer.train()
        except KeyboardInterrupt:
            return True
        return False

    return _train


def weights(output: Path) -> dict[str, torch.Tensor]:
    return torch.load(output / "model_final.pth", weights_only=True)["model"]


@pytest.mark.integration
def test_a_resume_ends_with_the_weights_of_an_uninterrupted_training(train, tmp_path):
    handler = signal.getsignal(signal.SIGINT)
    assert not train(tmp_path / "whole")
    output = tmp_path / "interrupted"
    assert train(output, stop=1)
    assert (output / "last_checkpoint").read_text() == "model_0000001.pth"
    assert train(output, stop=3)
    assert (output / "last_checkpoint").read_text() == "model_0000003.pth"
    assert not train(output)
    assert signal.getsignal(signal.SIGINT) is handler
    expected, got = weights(tmp_path / "whole"), weights(output)
    assert expected.keys() == got.keys()
    assert all(value.equal(got[name]) for name, value in expected.items())


def test_the_second_one_stops_at_once(train, tmp_path):
    assert train(tmp_path / "output", stop=1, times=2)
    assert not (tmp_path / "output" / "last_checkpoint").exists()


@pytest.mark.integration
def test_in_the_last_step_the_evaluation_is_not_begun(
    train, tiny_cfg, tmp_path, toy_lvis, monkeypatch
):
    tiny_cfg.DATASETS.TEST = (toy_lvis.val,)
    evaluated = []
    monkeypatch.setattr(LTTrainer, "test", classmethod(lambda *args: evaluated.append(1)))
    assert train(tmp_path / "output", stop=MAX_ITER - 1)
    assert (tmp_path / "output" / "last_checkpoint").read_text() == "model_final.pth"
    assert evaluated == []


# --- what is said ------------------------------------------------------------------------------


@pytest.fixture
def said(tiny_cfg, tmp_path, monkeypatch):
    """Function: what Ctrl-C says when the folder holds a checkpoint of an age."""
    output = Path(tiny_cfg.OUTPUT_DIR)
    config = tmp_path / "a config.yaml"
    config.write_text(tiny_cfg.dump())
    command = ["python", "-u", "tools/train_net.py", "--config-file", str(config), "SEED", "1"]
    monkeypatch.setattr(sys, "argv", command[2:])
    monkeypatch.setattr(sys, "orig_argv", command)

    def _said(checkpoint: str, age: float = 0.0, **flags) -> str:
        output.mkdir(exist_ok=True)
        if checkpoint:
            (output / "last_checkpoint").write_text(checkpoint)
            moment = run._START - age
            os.utime(output / "last_checkpoint", (moment, moment))
        args = {"config_file": str(config), "opts": [], "eval_only": False, "resume": False}
        return run.how_to_continue(argparse.Namespace(**{**args, **flags}))

    return _said


def test_the_exact_command_is_said(said, tiny_cfg, tmp_path):
    assert said("model_0000011.pth") == (
        f"interrupted; saved after 12 steps: {tiny_cfg.OUTPUT_DIR}/model_0000011.pth. Continue "
        f"with: python -u tools/train_net.py --resume --config-file '{tmp_path}/a config.yaml' "
        "SEED 1"
    )
    assert "saved: " in said("model_final.pth")
    assert said("model_final.pth", resume=True).endswith(
        f"with: python -u tools/train_net.py --config-file '{tmp_path}/a config.yaml' SEED 1"
    )


def test_an_earlier_trainings_checkpoint_is_none_of_this_one(said):
    begins_anew = "interrupted before the first checkpoint: the same command begins anew"
    assert said("") == begins_anew
    assert said("model_final.pth", age=5.0) == begins_anew
    assert "model_final.pth" in said("model_final.pth", age=5.0, resume=True)
    assert said("model_final.pth", eval_only=True) == "interrupted"


@pytest.mark.integration
@pytest.mark.parametrize(
    "processes",
    [
        pytest.param([], id="one"),
        pytest.param(
            ["--num-gpus", "2", "--dist-url", "auto"], id="two", marks=pytest.mark.runslow
        ),
    ],
)
def test_the_command_ends_in_one_line(tiny_cfg, toy_lvis, tmp_path, processes):
    tiny_cfg.DATASETS.REGISTER = [
        [toy_lvis.train, "lvis", str(toy_lvis.train_json), str(toy_lvis.image_root)]
    ]
    tiny_cfg.DATASETS.TEST = ()
    tiny_cfg.DATALOADER.NUM_WORKERS = 2
    tiny_cfg.SOLVER.MAX_ITER, tiny_cfg.SOLVER.CHECKPOINT_PERIOD = 100_000, 3
    config = tmp_path / "config.yaml"
    config.write_text(tiny_cfg.dump())
    command = [sys.executable, str(ROOT / "tools" / "train_net.py"), *processes]
    process = subprocess.Popen(
        [*command, "--config-file", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    output = Path(tiny_cfg.OUTPUT_DIR)
    deadline = time.monotonic() + 240
    while not (output / "last_checkpoint").is_file():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # As a terminal does: to every process.
    os.killpg(process.pid, signal.SIGINT)
    printed, error = process.communicate(timeout=120)
    assert process.returncode == 130
    last = (output / "last_checkpoint").read_text()
    expected = rf"\ntrain_net\.py: interrupted; saved after \d+ steps: {output}/{last}\. Continue "
    assert re.fullmatch(rf"{expected}with: .* --resume .*--config-file {config}\n", error), error
    assert "Traceback" not in printed
    log = (output / "log.txt").read_text()
    assert "\x1b" not in printed + log
