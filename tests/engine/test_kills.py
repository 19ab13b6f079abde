"""The real command, killed by SIGKILL at any moment and resumed, ends with the same weights."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
from paths import ROOT

QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
# A step takes about 0.05 s on one core, so a random moment is anywhere: loading, a step, a write.
MAX_ITER, PERIOD = 60, 3
NUM_KILLS = 20


@pytest.fixture
def command(tiny_cfg, toy_lvis, tmp_path):
    """output folder -> the command that trains into it, or resumes."""
    tiny_cfg.DATASETS.REGISTER = [
        [toy_lvis.train, "lvis", str(toy_lvis.train_json), str(toy_lvis.image_root)]
    ]
    tiny_cfg.DATALOADER.NUM_WORKERS = 2
    tiny_cfg.SOLVER.MAX_ITER, tiny_cfg.SOLVER.CHECKPOINT_PERIOD = MAX_ITER, PERIOD
    tiny_cfg.DATASETS.TEST = ()
    config = tmp_path / "config.yaml"
    config.write_text(tiny_cfg.dump())
    tool = [sys.executable, ROOT / "tools" / "train_net.py", "--config-file", config, "--resume"]
    return lambda output: [*tool, "OUTPUT_DIR", str(output)]


def first_checkpoint(output, process, timeout=120) -> bool:
    """Wait for it; False if the process ended before."""
    deadline = time.monotonic() + timeout
    while not (output / "last_checkpoint").is_file():
        assert time.monotonic() < deadline
        if process.poll() is not None:
            return False
        time.sleep(0.005)
    return True


def kill_after_first_checkpoint(command, output, seconds) -> int:
    """Number of checkpoints that were there when the training was killed."""
    process = subprocess.Popen(command, start_new_session=True, **QUIET)
    assert first_checkpoint(output, process)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return len(list(output.glob("model_*.pth")))


def assert_resumes_to(command, output, expected):
    subprocess.run(command, check=True, **QUIET)
    weights = torch.load(output / "model_final.pth", weights_only=True)["model"]
    for name, value in expected.items():
        assert value.equal(weights[name]), name


@pytest.fixture
def uninterrupted(command, tmp_path):
    """Its weights, and its seconds from the first checkpoint to the end."""
    output = tmp_path / "uninterrupted"
    process = subprocess.Popen(command(output), **QUIET)
    assert first_checkpoint(output, process)
    start = time.monotonic()
    assert process.wait() == 0
    seconds = time.monotonic() - start
    return torch.load(output / "model_final.pth", weights_only=True)["model"], seconds


@pytest.mark.integration
def test_one_kill(command, tmp_path, uninterrupted):
    output = tmp_path / "killed"
    assert 1 <= kill_after_first_checkpoint(command(output), output, 0) <= MAX_ITER // PERIOD
    assert_resumes_to(command(output), output, uninterrupted[0])


@pytest.mark.runslow
def test_twenty_random_kills(command, tmp_path, uninterrupted):
    weights, duration = uninterrupted
    rng = random.Random(0)
    found = []
    for number in range(NUM_KILLS):
        output = tmp_path / f"killed{number}"
        found.append(kill_after_first_checkpoint(command(output), output, rng.uniform(0, duration)))
        print(f"kill {number}: {found[-1]} checkpoints")
        assert_resumes_to(command(output), output, weights)
    assert len(set(found)) > NUM_KILLS // 4  # spread over the training
