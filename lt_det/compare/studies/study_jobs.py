"""The jobs of a study: which there are, in which order, how many at a time.

Every job is a process of its own with a folder of its own, and a finished one leaves
``results.json`` there: a study that was interrupted continues where it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from detectron2.config import get_cfg
from tqdm import tqdm

from lt_det.compare.studies.study import Row, Study, seed_folder
from lt_det.config import add_lt_det_config
from lt_det.engine.run import config_from_args

__all__ = ["Job", "run_comparison", "run_study"]

_TOOLS = Path(__file__).parents[3] / "tools"


@dataclass(frozen=True)
class Job:
    """A command that leaves ``done`` behind.

    ``settings`` is the text of all that decides the result; it is kept beside the log, so that a
    run of other settings is never taken for this one.
    """

    name: str
    command: Sequence[str]
    settings: str
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
        self._kept_settings.write_text(self.settings)
        environment = {**os.environ, "OMP_NUM_THREADS": str(num_threads)}
        with open(self.log, "a") as log:
            code = subprocess.run(
                self.command, stdout=log, stderr=subprocess.STDOUT, env=environment, check=False
            ).returncode
        if code or not self.done.is_file():
            tail = "".join(self.log.read_text(errors="replace").splitlines(keepends=True)[-15:])
            raise RuntimeError(f"{self.name} failed (exit code {code}), see {self.log}:\n{tail}")

    def check_settings(self) -> None:
        """See that what the folder holds, if anything, is of these settings.

        Raises:
            ValueError: if it is of others, naming the first that differ.
        """
        if not self._kept_settings.is_file():
            return
        # A setting that came with a later version had its default.
        kept, now = (
            _default_settings() | _flat(text)
            for text in (self._kept_settings.read_text(), self.settings)
        )
        changed = [
            f"{key} {kept.get(key)!r} is now {now.get(key)!r}"
            for key in {**now, **kept}
            if kept.get(key) != now.get(key)
        ]
        if changed:
            raise ValueError(
                f"{self.log.parent} holds a run of other settings ({'; '.join(changed[:3])}): "
                "remove the folder or choose another --output"
            )

    @property
    def _kept_settings(self) -> Path:
        return self.log.with_name("job_settings.yaml")


def _flat(settings: str) -> dict[str, Any]:
    """Values by dotted key."""
    flat, nodes = {}, [("", yaml.safe_load(settings))]
    while nodes:
        prefix, node = nodes.pop()
        for name, value in node.items():
            if isinstance(value, dict) and value:
                nodes.append((f"{prefix}{name}.", value))
            else:
                flat[f"{prefix}{name}"] = value
    return flat


@functools.cache
def _default_settings() -> dict[str, Any]:
    cfg = get_cfg()
    add_lt_det_config(cfg)
    return _flat(cfg.dump())


def run_study(study: Study, output_dir: str | Path, num_jobs: int = 0) -> None:
    """Run everything that is not done yet.

    Args:
        study: its settings.
        output_dir: one folder a job: ``<stage1>/seed<S>`` and ``<row's config>/seed<S>``.
        num_jobs: processes at a time, which share the cores; 0 is as many as cores.

    Raises:
        ValueError: if the folder holds runs of other settings; nothing is run then.
        RuntimeError: if a job fails. Jobs that do not depend on it are finished first.
    """
    phases = _phases(study, Path(output_dir).resolve())
    for jobs in phases.values():
        for job in jobs:
            job.check_settings()
    make_data(study.data)
    for title, jobs in phases.items():
        _run_jobs(title, jobs, num_jobs or os.cpu_count() or 1)


def run_comparison(study: Study, output_dir: str | Path, seed: int, num_jobs: int = 0) -> Path:
    """Compare methods on the stage 1 of ``seed``; returns the comparison's folder.

    Raises:
        subprocess.CalledProcessError: if it fails; it has said why.
    """
    stage1, folder = study.compare["stage1"], Path(output_dir) / "compare" / f"seed{seed}"
    weights = seed_folder(output_dir, stage1, seed) / "model_final.pth"
    command = [sys.executable, str(_TOOLS / "compare.py"), "--jobs", str(num_jobs)]
    for name in ("comparison", "dev"):
        command += [f"--{name}", study.compare[name]]
    command += ["--output", str(folder), "--config-file", study.stage1[stage1]]
    opts = [*study.opts, "DATASETS.TEST", repr(tuple(study.test)), "MODEL.WEIGHTS", str(weights)]
    subprocess.run([*command, *map(str, opts)], check=True)
    return folder


def _phases(study: Study, output_dir: Path) -> dict[str, list[Job]]:
    """The jobs by title of the phase they belong to, each phase building on those before."""
    phases = {
        "stage 1": [
            _stage1_job(study, output_dir, name, seed)
            for seed in study.seeds
            for name in study.stage1
        ]
    }
    # The first seed's rows choose the schedule, the other seeds take it over.
    for phase, seeds in enumerate((study.seeds[:1], study.seeds[1:]), start=1):
        phases[f"rows ({phase} of 2)"] = [
            _row_job(study, output_dir, row, seed) for seed in seeds for row in study.rows
        ]
    return phases


def make_data(arguments: dict) -> None:
    """Generate the data set, if it is not there."""
    command = [sys.executable, str(_TOOLS / "make_openmoji.py")]
    for name, value in arguments.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    subprocess.run(command, check=True)


def _stage1_job(study: Study, output_dir: Path, name: str, seed: int) -> Job:
    folder = seed_folder(output_dir, name, seed)
    arguments, opts = ["--resume"], [*study.opts, *study.stage1_opts]
    job = _job(study, "train_net.py", arguments, study.stage1[name], folder, seed, opts)
    if study.rows:
        return job
    # A comparison evaluates stage 1 beside its rows.
    command = [*job.command, "DATASETS.TEST", "()"]
    return dataclasses.replace(job, command=command, done=folder / "model_final.pth")


def _row_job(study: Study, output_dir: Path, row: Row, seed: int) -> Job:
    folder = seed_folder(output_dir, row.folder, seed)
    opts = list(study.opts)
    if not row.stage1:
        return _job(study, "train_net.py", ["--resume"], row.config, folder, seed, opts)
    weights = seed_folder(output_dir, row.stage1, seed) / "model_final.pth"
    if study.bank:
        tool, arguments = "train_classifier.py", ["--bank", str(weights.parent / "bank")]
        arguments += ["--selection", str(output_dir / row.folder / "selection.json")]
        for name, value in study.bank.items():
            opts += [f"FEATURE_BANK.{name.upper()}", str(value)]
        for name, value in study.select.items():
            values = value if isinstance(value, list) else [value]
            arguments += [f"--{name.replace('_', '-')}", *map(str, values)]
    else:
        tool, arguments = "train_net.py", ["--resume"]
    places = ["MODEL.WEIGHTS", str(weights)]
    return _job(study, tool, arguments, row.config, folder, seed, opts, places)


def _job(study, tool, arguments, config, folder: Path, seed: int, opts, places=()) -> Job:
    options = ["SEED", str(seed), "DATASETS.TEST", repr(tuple(study.test)), *map(str, opts)]
    command = [sys.executable, str(_TOOLS / tool), *arguments, "--config-file", config]
    command += [*options, *places, "OUTPUT_DIR", str(folder)]
    # Without the places: an output folder may be moved.
    cfg = config_from_args(argparse.Namespace(config_file=config, opts=options))
    decides = {"tool": tool, "data": study.data, "bank": study.bank, "select": study.select}
    return Job(
        name=f"{folder.parent.name}/{folder.name}",
        command=command,
        settings=yaml.safe_dump(decides) + cfg.dump(),
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
