"""A comparison of a few methods on the toy set."""

import argparse
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml

from lt_det.compare import command

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


def changed(path: Path, name: str, **changes) -> str:
    """The comparison with another row of that name, as a file."""
    rows = [row | changes if row["name"] == name else row for row in COMPARISON["rows"]]
    path.write_text(yaml.safe_dump({**COMPARISON, "rows": rows}))
    return str(path)


def compare_json(output: Path) -> dict:
    return json.loads((output / "compare.json").read_text())


def rows_of(data: dict) -> dict[str, dict]:
    return {row["name"]: row for row in data["rows"]}
