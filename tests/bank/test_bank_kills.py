"""The real command, killed five times by SIGKILL and resumed, writes the bytes it would have."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from paths import ROOT
from test_rois import files

QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
NUM_KILLS = 5
# Seven pictures of the toy set have objects: 420 visits in 140 shards.
NUM_VIEWS = 60


@pytest.fixture
def command(bank_cfg, toy_lvis, tmp_path):
    """output folder -> the command that extracts into it, or resumes."""
    bank_cfg.DATASETS.REGISTER = (
        ("user_train", "lvis", str(toy_lvis.train_json), str(toy_lvis.image_root)),
    )
    bank_cfg.DATASETS.TRAIN, bank_cfg.DATASETS.TEST = ("user_train",), ()
    bank_cfg.INPUT.RANDOM_FLIP = "horizontal"
    bank_cfg.FEATURE_BANK.NUM_VIEWS = NUM_VIEWS
    bank_cfg.DATALOADER.NUM_WORKERS = 1
    config = tmp_path / "config.yaml"
    config.write_text(bank_cfg.dump())
    tool = [sys.executable, ROOT / "tools" / "extract_features.py", "--config-file", config]
    return lambda output: [*tool, "--output", output]


def num_shards(output: Path) -> int:
    return len(list(output.glob("train/shard_*")))


def until_shards(output: Path, process: subprocess.Popen, number: int, timeout: float = 120):
    """Wait until so many are there."""
    deadline = time.monotonic() + timeout
    while num_shards(output) < number:
        assert time.monotonic() < deadline
        assert process.poll() is None, "it ended before"
        time.sleep(0.002)


@pytest.mark.runslow
def test_five_random_kills(command, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = subprocess.Popen(command(whole), **QUIET)
    until_shards(whole, process, 1)
    start = time.monotonic()
    assert process.wait() == 0
    seconds = time.monotonic() - start
    rng = random.Random(0)
    found = []
    for _ in range(NUM_KILLS):
        process = subprocess.Popen(command(killed), start_new_session=True, **QUIET)
        until_shards(killed, process, num_shards(killed) + 1)
        time.sleep(rng.uniform(0, seconds / (NUM_KILLS + 2)))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        found.append(num_shards(killed))
        print(f"killed with {found[-1]} of {num_shards(whole)} shards")
    assert len(set(found)) == NUM_KILLS
    assert found[-1] < num_shards(whole)
    subprocess.run(command(killed), check=True, **QUIET)
    assert files(killed) == files(whole)
