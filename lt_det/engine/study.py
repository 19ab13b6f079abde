"""A study: rows of settings, trained by one recipe over seeds, evaluated and compared.

A study is a YAML file (``configs/<Dataset-Task>/studies/``)::

    data: {preset: quick, seed: 0}             # arguments of tools/make_openmoji.py
    test: [openmoji_quick_val]                 # what is reported
    seeds: [1, 2, 3]                           # SEED of stage 1 and of its stage 2
    stage1: {softmax: ../mask_rcnn_small_softmax.yaml}
    rows:                                      # stage 2
      - {name: softmax control, config: ../..., stage1: softmax}
      - {name: Balanced Softmax, config: ../..., stage1: softmax, controls: [softmax control]}
    select: {...}                              # optional, see ``tools/train_classifier.py``

Every job is a process of its own with a folder of its own, and a finished one leaves
``results.json`` there: a study that was interrupted continues where it was.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from tqdm import tqdm

__all__ = ["Row", "Study", "run_study"]

logger = logging.getLogger(__name__)
_TOOLS = Path(__file__).parents[2] / "tools"


@dataclass(frozen=True)
class Row:
    """One method: a stage-2 config, the stage 1 it starts from and the rows it is compared with."""

    name: str
    config: str
    stage1: str
    controls: Sequence[str] = ()

    @property
    def folder(self) -> str:
        """Folder name: the config's, which says model and method."""
        return Path(self.config).stem


@dataclass(frozen=True)
class Study:
    """A study's settings; see the module's docstring.

    Raises:
        ValueError: if a row refers to a stage 1 or control that does not exist.
    """

    data: dict
    test: Sequence[str]
    seeds: Sequence[int]
    stage1: dict[str, str]
    rows: Sequence[Row]
    select: dict = field(default_factory=dict)
    opts: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check references between parts."""
        names = {row.name for row in self.rows}
        for row in self.rows:
            if row.stage1 not in self.stage1:
                raise ValueError(
                    f"Study row {row.name!r}: stage1 {row.stage1!r} is not one of "
                    f"{sorted(self.stage1)}"
                )
            unknown = set(row.controls) - names
            if unknown:
                raise ValueError(f"Study row {row.name!r}: unknown controls {sorted(unknown)}")

    @classmethod
    def load(cls, path: str | Path) -> Study:
        """Read a study; its config files are relative to it.

        Raises:
            FileNotFoundError: if the study or one of its configs does not exist.
            ValueError: if a key is unknown or missing.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"Study file not found: {path}")
        values = yaml.safe_load(path.read_text())

        def config_path(name: str) -> str:
            config = (path.parent / name).resolve()
            if not config.is_file():
                raise FileNotFoundError(f"{path}: config file not found: {config}")
            return str(config)

        try:
            stage1 = {name: config_path(config) for name, config in values.pop("stage1").items()}
            rows = [
                Row(**{**row, "config": config_path(row["config"])}) for row in values.pop("rows")
            ]
            return cls(stage1=stage1, rows=rows, **values)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} is not a study file: {error}") from error


@dataclass(frozen=True)
class Job:
    """A command that leaves ``done`` behind."""

    name: str
    command: Sequence[str]
    done: Path
    log: Path

    def run(self, num_threads: int) -> None:
        """Run the command unless it was done before.

        Raises:
            RuntimeError: with the end of its log, if it fails.
        """
        if self.done.is_file():
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": str(num_threads)}
        with open(self.log, "a") as log:
            code = subprocess.run(
                self.command, stdout=log, stderr=subprocess.STDOUT, env=environment, check=False
            ).returncode
        if code or not self.done.is_file():
            tail = "".join(self.log.read_text(errors="replace").splitlines(keepends=True)[-15:])
            raise RuntimeError(f"{self.name} failed (exit code {code}), see {self.log}:\n{tail}")


def run_study(study: Study, output_dir: str | Path, num_jobs: int = 0) -> None:
    """Run everything that is not done yet.

    Args:
        study: its settings.
        output_dir: one folder a job: ``<stage1>/seed<S>`` and ``<row's config>/seed<S>``.
        num_jobs: processes at a time, which share the cores; 0 is as many as cores.

    Raises:
        RuntimeError: if a job fails. Jobs that do not depend on it are finished first.
    """
    output_dir = Path(output_dir).resolve()
    make_data(study.data)
    num_jobs = num_jobs or os.cpu_count() or 1
    stage1 = [
        _stage1_job(study, output_dir, name, seed) for seed in study.seeds for name in study.stage1
    ]
    _run_jobs("stage 1", stage1, num_jobs)
    # The first seed's rows choose the schedule, the other seeds take it over.
    for phase, seeds in enumerate((study.seeds[:1], study.seeds[1:]), start=1):
        rows = [_row_job(study, output_dir, row, seed) for seed in seeds for row in study.rows]
        _run_jobs(f"stage 2 ({phase} of 2)", rows, num_jobs)


def make_data(arguments: dict) -> None:
    """Generate the data set, if it is not there."""
    command = [sys.executable, str(_TOOLS / "make_openmoji.py")]
    for name, value in arguments.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    subprocess.run(command, check=True)


def seed_folder(output_dir: str | Path, name: str, seed: int) -> Path:
    """Folder of one run."""
    return Path(output_dir) / name / f"seed{seed}"


def _stage1_job(study: Study, output_dir: Path, name: str, seed: int) -> Job:
    folder = seed_folder(output_dir, name, seed)
    return _job(study, "train_net.py", ["--resume"], study.stage1[name], folder, seed, ())


def _row_job(study: Study, output_dir: Path, row: Row, seed: int) -> Job:
    weights = seed_folder(output_dir, row.stage1, seed) / "model_final.pth"
    folder = seed_folder(output_dir, row.folder, seed)
    if study.select:
        tool, arguments = "train_classifier.py", ["--bank", str(weights.parent / "bank.pth")]
        arguments += ["--selection", str(output_dir / row.folder / "selection.json")]
        for name, value in study.select.items():
            values = value if isinstance(value, list) else [value]
            arguments += [f"--{name.replace('_', '-')}", *map(str, values)]
    else:
        tool, arguments = "train_net.py", ["--resume"]
    options = ("MODEL.WEIGHTS", str(weights))
    return _job(study, tool, arguments, row.config, folder, seed, options)


def _job(study, tool, arguments, config, folder: Path, seed: int, options) -> Job:
    command = [sys.executable, str(_TOOLS / tool), *arguments, "--config-file", config]
    command += [*options, "OUTPUT_DIR", str(folder), "SEED", str(seed)]
    command += ["DATASETS.TEST", repr(tuple(study.test)), *map(str, study.opts)]
    return Job(
        name=f"{folder.parent.name}/{folder.name}",
        command=command,
        done=folder / "inference" / study.test[-1] / "results.json",
        log=folder / "job.log",
    )


def _run_jobs(title: str, jobs: Sequence[Job], num_jobs: int) -> None:
    """Run jobs side by side under one progress bar."""
    if not jobs:
        return
    cores = os.cpu_count() or 1
    num_threads = max(1, cores // min(num_jobs, len(jobs)))
    failures = []
    with (
        ThreadPoolExecutor(min(num_jobs, len(jobs))) as pool,
        tqdm(total=len(jobs), desc=title, unit="job") as progress,
    ):
        futures = {pool.submit(job.run, num_threads): job for job in jobs}
        for future in as_completed(futures):
            progress.update()
            try:
                future.result()
            except RuntimeError as error:
                failures.append(str(error))
    if failures:
        raise RuntimeError("\n\n".join(failures))
