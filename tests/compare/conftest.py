"""A comparison of a few methods on the toy set, run once for all tests of a file."""

import argparse
import contextlib
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import yaml
from toy_stage1 import frozen_stage1

from lt_det.compare import command, runs

COMPARISON = {
    "seeds": [1, 2],
    "settings": {"EPOCHS": 2, "SOLVER.BASE_LR": 0.1},
    "controls": ["softmax control"],
    "rows": [
        {"name": "softmax control"},
        {
            "name": "Balanced Softmax",
            "settings": {"MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME": "BalancedSoftmaxLoss"},
            # The last one diverges: it is a trial, not a failure.
            "grid": {"SOLVER.BASE_LR": [0.05, 0.4, 1.0e38]},
        },
        {"name": "diverges", "settings": {"SOLVER.BASE_LR": 1.0e38}},
        {
            "name": "tau-norm",
            "after": "stage 1",
            "settings": {"TEST.CALIBRATION.NAME": "TauNormCalibration"},
            "grid": {"TEST.CALIBRATION.TAU_NORM.TAU": [0.0, 1.0]},
            "controls": ["stage 1", "softmax control"],
        },
        {
            "name": "adjusted control",
            "after": "softmax control",
            "settings": {"TEST.CALIBRATION.NAME": "LogitAdjustmentCalibration"},
            # One value is no choice, and holds.
            "grid": {"TEST.CALIBRATION.LOGIT_ADJUSTMENT.TAU": [0.5]},
        },
    ],
}


@dataclass(frozen=True)
class Given:
    """What a user has: a detector's config, a comparison, a dev set."""

    config_file: Path
    comparison: Path
    dev: str
    output: Path

    def run(self, output: Path, **options) -> int:
        """``tools/compare.py`` with other options."""
        defaults = {
            "config_file": str(self.config_file),
            "comparison": str(self.comparison),
            "output": str(output),
            "rows": [],
            "seeds": [],
            "dev": self.dev,
            "holdout": None,
            "jobs": 2,
            "minutes": None,
            "opts": [],
        }
        return command.run_from_args(argparse.Namespace(**defaults | options))

    def copy(self, output: Path, *parts: str) -> Path:
        """Parts of the finished comparison in another folder, as links: files are replaced."""
        for part in parts:
            shutil.copytree(self.output / part, output / part, copy_function=os.link)
        return output


@pytest.fixture(scope="module")
def finished(make_tiny_cfg, toy_lvis, tmp_path_factory) -> Iterator[Given]:
    """A comparison that ran through, in two processes."""
    folder = tmp_path_factory.mktemp("comparison")
    cfg = frozen_stage1(make_tiny_cfg(folder / "stage1"), folder)
    config_file, comparison = folder / "stage1.yaml", folder / "comparison.yaml"
    config_file.write_text(cfg.dump())
    comparison.write_text(yaml.safe_dump(COMPARISON))
    given = Given(config_file, comparison, toy_lvis.train, folder / "output")
    with pytest.MonkeyPatch.context() as patch, _loggers_as_they_were():
        patch.setenv("LT_DET_CACHE", str(folder / "cache"))
        few = partial(runs.replicate_metrics, num_replicates=20)
        patch.setattr(runs, "replicate_metrics", few)
        # One failed, the others are done.
        assert given.run(given.output) == 1
        yield given


@pytest.fixture
def in_process(monkeypatch) -> list[tuple]:
    """Work in this process, draw nothing; what is done: ``("train", row, seed)`` and the like."""
    calls = []

    def recorded(method: str, described):
        original = getattr(runs.Workbench, method)

        def call(self, *arguments):
            calls.extend((method, *entry) for entry in described(*arguments))
            return original(self, *arguments)

        monkeypatch.setattr(runs.Workbench, method, call)

    recorded("_trial", lambda row, seed, settings: [(row.name, seed)])
    recorded("train", lambda run: [(run.row.name, run.seed)])
    recorded("evaluate", lambda given, name: [(run.row.name, run.seed) for run in given])
    monkeypatch.setattr(command, "_num_jobs", lambda *_: 0)
    monkeypatch.setattr(command, "write_compare_report", lambda folder, data: "")
    return calls


@contextlib.contextmanager
def _loggers_as_they_were() -> Iterator[None]:
    """Afterwards, what Detectron2's ``setup_logger`` changes is undone."""
    logger = logging.getLogger("lt_det")
    before = {"handlers": list(logger.handlers), "propagate": logger.propagate}
    level = logger.level
    try:
        yield
    finally:
        vars(logger).update(before)
        logger.setLevel(level)
