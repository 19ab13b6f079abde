"""The command of ``tools/gpu_table.py``: methods compared at full size, in pieces of some minutes.

Every piece continues where the last call left it, and leaves what the next one needs below one
folder: ``datasets/``, ``stage1/``, ``comparison/``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lt_det.engine.stop_after import UNFINISHED
from lt_det.openmoji.spec import PRESETS, set_name
from lt_det.openmoji.writer import generate

__all__ = ["Size", "Table", "run_from_args"]

_REPOSITORY = Path(__file__).parents[3]
_CONFIGS = _REPOSITORY / "configs" / "OpenMoji-InstanceSegmentation"
_CONFIG = _CONFIGS / "mask_rcnn_R_50_FPN_lvis_v1_softmax.yaml"


@dataclass(frozen=True)
class Size:
    """What is compared.

    Args:
        preset: of the data set.
        comparison: the methods, a file of ``tools/compare.py``.
        opts: config keys and values over the config of full size.
    """

    preset: str
    comparison: Path
    opts: Sequence[str] = ()


FULL = Size("lvis_v1", _CONFIGS / "comparisons" / "lvis_v1.yaml")
# Every part of the full size in a minute or two on CPU, too small to learn from.
TINY = Size(
    "tiny",
    _CONFIGS / "comparisons" / "tiny.yaml",
    [
        *("DATASETS.TRAIN", "('openmoji_live_tiny_train',)"),
        *("DATASETS.TEST", "('openmoji_live_tiny_val',)"),
        *("DATALOADER.NUM_WORKERS", "1"),
        *("INPUT.MIN_SIZE_TRAIN", "(64,)", "INPUT.MAX_SIZE_TRAIN", "64"),
        *("INPUT.MIN_SIZE_TEST", "64", "INPUT.MAX_SIZE_TEST", "64"),
        *("MODEL.DEVICE", "cpu"),
        *("MODEL.RESNETS.STEM_OUT_CHANNELS", "16", "MODEL.RESNETS.WIDTH_PER_GROUP", "8"),
        *("MODEL.RESNETS.RES2_OUT_CHANNELS", "32", "MODEL.FPN.OUT_CHANNELS", "32"),
        *("MODEL.ANCHOR_GENERATOR.SIZES", "[[16], [24], [32]]"),
        *("MODEL.ROI_HEADS.NUM_CLASSES", "8", "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", "16"),
        *("MODEL.ROI_BOX_HEAD.CONV_DIM", "32", "MODEL.ROI_BOX_HEAD.FC_DIM", "64"),
        *("MODEL.ROI_MASK_HEAD.CONV_DIM", "32"),
        *("SOLVER.IMS_PER_BATCH", "4", "SOLVER.MAX_ITER", "8", "SOLVER.STEPS", "(6,)"),
        *("SOLVER.WARMUP_ITERS", "2"),
    ],
)


class Table:
    """One comparison, piece by piece.

    Args:
        size: what is compared.
        output: folder for everything.
        scale: times the pictures of the data set.
        minutes: that a call may take; None is no limit.

    Raises:
        ValueError: if ``minutes`` is not above 0.
    """

    def __init__(self, size: Size, output: str | Path, scale: float = 1.0, minutes=None):
        if minutes is not None and not minutes > 0:
            raise ValueError(f"Expected --minutes to be above 0, but got {minutes}")
        self._size = size
        # Absolute: addresses of pictures hold the folder.
        self._output = Path(output).resolve()
        self._scale = scale
        self._end = None if minutes is None else time.monotonic() + 60 * minutes

    def run(self) -> bool:
        """Work until everything is done or the time is up; whether everything is done.

        Raises:
            RuntimeError: if a command fails.
            ValueError: if the folder holds another table.
        """
        self._claim_folder()
        pieces: dict[str, Callable[[], bool]] = {
            "data set": self.make_data,
            "stage 1": self.train,
            "comparison": self.compare,
        }
        for done, (name, piece) in enumerate(pieces.items()):
            print(f"gpu_table: {name}", flush=True)
            if self._is_over() or not piece():
                before = ", ".join(list(pieces)[:done]) or "nothing yet"
                print(
                    f"gpu_table: done: {before}. {name.capitalize()} has more to do: the same "
                    "command continues"
                )
                return False
        return True

    def _claim_folder(self) -> None:
        """Keep what decides the table, so that no piece of another is taken for this one's."""
        settings = json.dumps({"preset": self._size.preset, "scale": self._scale})
        kept = self._output / "table.json"
        if (there := _text(kept)) not in ("", settings):
            raise ValueError(
                f"{self._output} holds another table, of {there} instead of {settings}: remove it "
                "or choose another --output"
            )
        self._output.mkdir(parents=True, exist_ok=True)
        kept.write_text(settings)

    def make_data(self) -> bool:
        """Annotations and index of the data set; in one go, a minute at full size on 16 cores."""
        spec = PRESETS[self._size.preset]().scaled(self._scale)
        name = set_name(self._size.preset, live=True)
        generate(spec, self._output / "datasets" / name, live=True)
        return True

    def train(self) -> bool:
        """Stage 1, without an evaluation, which the comparison does."""
        if _text(self.weights.with_name("last_checkpoint")) == self.weights.name:
            return True
        opts = [*self._size.opts, "DATASETS.TEST", "()", "OUTPUT_DIR", str(self.weights.parent)]
        return self._run("train_net.py", ["--resume", *self._minutes_left()], opts)

    def compare(self) -> bool:
        """Feature banks and all methods over all seeds; prints the table."""
        arguments = ["--comparison", str(self._size.comparison)]
        arguments += ["--dev", f"{set_name(self._size.preset, live=True)}_dev"]
        arguments += ["--output", str(self._output / "comparison"), *self._minutes_left()]
        return self._run(
            "compare.py", arguments, [*self._size.opts, "MODEL.WEIGHTS", str(self.weights)]
        )

    @property
    def weights(self) -> Path:
        """Stage 1, when it is done."""
        return self._output / "stage1" / "model_final.pth"

    def _run(self, tool: str, arguments: Sequence[str], opts: Sequence[str]) -> bool:
        """Run a tool of ours; whether it finished rather than stopped with more to do."""
        command = [sys.executable, str(_REPOSITORY / "tools" / tool), "--config-file", str(_CONFIG)]
        code = subprocess.run(
            [*command, *arguments, *opts], env=self._environment(), check=False
        ).returncode
        if code not in (0, UNFINISHED):
            raise RuntimeError(f"{tool} failed (exit code {code}), see its output above")
        return code == 0

    def _environment(self) -> dict[str, str]:
        paths = [str(_REPOSITORY), os.environ.get("PYTHONPATH", "")]
        return {
            **os.environ,
            "DETECTRON2_DATASETS": str(self._output / "datasets"),
            # In a checkout that is not installed, tools find lt_det too.
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }

    def _is_over(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end

    def _minutes_left(self) -> list[str]:
        if self._end is None:
            return []
        return ["--minutes", f"{max(self._end - time.monotonic(), 0.06) / 60:.3f}"]


def run_from_args(args: argparse.Namespace) -> int:
    """Work on the table; the exit status."""
    size = TINY if args.tiny else FULL
    output = args.output or f"output/gpu_table_{size.preset}"
    table = Table(size, output, args.scale, args.minutes)
    return 0 if table.run() else UNFINISHED


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""
