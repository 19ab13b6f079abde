"""The command of ``tools/compare.py``: banks, trainings, evaluations, report."""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.utils.logger import setup_logger

from lt_det.bank.proposals import build_proposal_bank
from lt_det.bank.rois import build_feature_bank
from lt_det.compare.collect import STAGE1_ROW, collect, runs_of, stage1_run, write_comparison
from lt_det.compare.holdout import hold_out
from lt_det.compare.rows import STAGE1, Comparison, Row
from lt_det.compare.runs import Run, Workbench
from lt_det.compare.settings import check_keys, with_settings
from lt_det.compare.tasks import OutOfTimeError, Task, TaskRunner
from lt_det.config import check_config
from lt_det.data.statistics import training_dicts
from lt_det.engine.check_data import check_datasets
from lt_det.engine.check_start import require_weights
from lt_det.engine.checkpoint import LTCheckpointer
from lt_det.engine.run import config_from_args
from lt_det.engine.stop_after import UNFINISHED
from lt_det.engine.trainer import LTTrainer
from lt_det.evaluation.compare_report import write_compare_report
from lt_det.evaluation.report import atomic_text

__all__ = ["run_from_args"]

logger = logging.getLogger(__name__)

# Runs that share a pass over the test pictures: their detections are all in memory.
_RUNS_A_PASS = 6


def run_from_args(args: argparse.Namespace) -> int:
    """The job of ``tools/compare.py``; returns its exit status.

    0: done. 1: done, but for methods that failed. :data:`UNFINISHED`: ``--minutes`` are over.
    """
    deadline = time.monotonic() + 60 * args.minutes if args.minutes else float("inf")
    comparison = Comparison.load(args.comparison)
    if args.seeds:
        comparison = Comparison(comparison.rows, args.seeds)
    if args.rows:
        comparison = comparison.select(args.rows)
    _check_selection(args, comparison)
    output_dir = Path(args.output)
    output_dir.mkdir(parents=True, exist_ok=True)
    setup_logger(str(output_dir), name="lt_det")
    cfg = _config(args)
    _check_rows(cfg, comparison)
    _check_settings(output_dir, cfg, comparison)
    bench = _workbench(args, cfg, output_dir)
    runner = TaskRunner(bench, _num_jobs(args, cfg), output_dir / "workers.log", deadline)
    try:
        _run(bench, comparison, runner)
        status = 1 if runner.errors else 0
    except OutOfTimeError:
        print("Time is over and there is more to do: the same command continues.")
        status = UNFINISHED
    for name in cfg.DATASETS.TEST:
        if bench.is_evaluated(stage1_run(), name):
            print("\n" + _report(bench, comparison, runner, name))
    return status


def _config(args: argparse.Namespace) -> CfgNode:
    cfg = config_from_args(args)
    check_config(cfg)
    require_weights(cfg)
    check_datasets((*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST, *([args.dev] if args.dev else [])))
    return cfg


def _num_jobs(args: argparse.Namespace, cfg: CfgNode) -> int:
    if torch.device(cfg.MODEL.DEVICE).type != "cpu":
        return 0
    return args.jobs or os.cpu_count() or 1


def _workbench(args: argparse.Namespace, cfg: CfgNode, output_dir: Path) -> Workbench:
    """Everything shared, the banks extracted as far as they are not there."""
    model = LTTrainer.build_model(cfg)
    LTCheckpointer(model).load(cfg.MODEL.WEIGHTS, checkpointables=[])
    records = training_dicts(cfg)
    banks = output_dir / "banks"
    banks.mkdir(exist_ok=True)
    dev, trial_pictures = args.dev or "", None
    if args.holdout:
        path = banks / f"holdout_{args.holdout}.json"
        dev, trial_pictures = hold_out(cfg.DATASETS.TRAIN, records, args.holdout, path)
    names = dict.fromkeys([*cfg.DATASETS.TEST, *([dev] if dev else [])])
    return Workbench(
        cfg=cfg,
        output_dir=output_dir,
        model=model,
        bank=build_feature_bank(cfg, model, banks / "train"),
        records=records,
        test={name: build_proposal_bank(cfg, model, name, banks / name) for name in names},
        trial_pictures=trial_pictures,
        dev=dev,
    )


def _run(bench: Workbench, comparison: Comparison, runner: TaskRunner) -> None:
    """Everything that is not done yet; rows that fail are left out from then on.

    Raises:
        OutOfTimeError: see :meth:`TaskRunner.run`.
    """
    begun = [stage1_run()]
    trained = [row for row in comparison.rows if row.is_trained or row.after == STAGE1]
    others = [row for row in comparison.rows if row not in trained]
    for title, rows in (("", trained), (", after others", others)):
        runner.run(f"choosing{title}", _selections(bench, comparison, rows, runner))
        begun += [
            run for row in rows if row.name not in runner.errors for run in runs_of(comparison, row)
        ]
        left = [run for run in begun if not bench.is_trained(run)]
        runner.run(f"training{title}", [Task(run.row.name, "train", (run,)) for run in left])
    begun = [run for run in begun if bench.is_trained(run)]
    for name in bench.cfg.DATASETS.TEST:
        left = [run for run in begun if not bench.is_evaluated(run, name)]
        _evaluate(left, name, runner)


def _selections(bench, comparison, rows: Sequence[Row], runner: TaskRunner) -> list[Task]:
    tasks = []
    for row in rows:
        selection = bench.chosen(row) or {"trials": []}
        if len(row.trials()) > max(1, len(selection["trials"])):
            tasks.append(Task(row.name, "select", (row, runs_of(comparison, row)[0].seed)))
    return tasks


def _evaluate(runs: Sequence[Run], dataset_name: str, runner: TaskRunner) -> None:
    size = max(1, min(_RUNS_A_PASS, -(-len(runs) // max(1, runner.num_jobs))))
    parts = [runs[start : start + size] for start in range(0, len(runs), size)]
    together = [Task(f"part {n}", "evaluate", (p, dataset_name)) for n, p in enumerate(parts)]
    runner.run(f"evaluating on {dataset_name}", together)
    # One that fails takes those of its part along: these once more, each by itself.
    failed = [task for task in together if runner.errors.pop(task.name, None)]
    runner.run(
        "evaluating one by one",
        [
            Task(run.row.name, "evaluate", ([run], dataset_name))
            for task in failed
            for run in task.arguments[0]
        ],
    )


def _report(bench: Workbench, comparison: Comparison, runner: TaskRunner, dataset_name: str) -> str:
    folder = bench.output_dir
    if len(bench.cfg.DATASETS.TEST) > 1:
        folder = folder / dataset_name
        folder.mkdir(exist_ok=True)
    data = collect(bench, comparison, dataset_name, runner.errors, [_provenance(comparison)])
    write_comparison(folder / "compare.json", data)
    text = write_compare_report(folder, data)
    return f"{text}\nPage and plots: {folder}/compare.html"


def _check_rows(cfg: CfgNode, comparison: Comparison) -> None:
    """Find a mistake in the last row before the first one trains.

    Raises:
        ValueError: naming the row and the key.
    """
    for row in comparison.rows:
        try:
            check_keys({**row.settings, **row.grid})
            for settings in row.trials():
                check_config(with_settings(cfg, {**row.settings, **settings}, num_pictures=1))
        except ValueError as error:
            raise ValueError(f"Row {row.name!r}: {error}") from error


def _check_settings(output_dir: Path, cfg: CfgNode, comparison: Comparison) -> None:
    """Keep what decides each row, so that a run of other settings is never taken for it.

    Raises:
        ValueError: naming the row and what differs.
    """
    common = cfg.clone()
    common.defrost()
    # Where it runs and what it is tested on decide nothing.
    for key, node in (("OUTPUT_DIR", common), ("DEVICE", common.MODEL), ("TEST", common.DATASETS)):
        node.pop(key)
    for row in [STAGE1_ROW, *comparison.rows]:
        decides = {"config": common.dump(), "settings": row.settings, "grid": row.grid}
        decides = json.loads(json.dumps({**decides, "after": row.after}))
        path = output_dir / "rows" / row.folder / "settings.json"
        if path.is_file():
            kept = json.loads(path.read_text())
            different = [key for key, value in decides.items() if kept.get(key) != value]
            if different:
                raise ValueError(
                    f"{path.parent} holds runs of row {row.name!r} under other {different}: remove "
                    "that folder, or name another --output"
                )
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_text(path) as file:
            json.dump(decides, file, indent=1)


def _check_selection(args: argparse.Namespace, comparison: Comparison) -> None:
    """Raise ValueError unless there is what to choose hyper-parameters on."""
    if args.dev and args.holdout:
        raise ValueError("Give --dev or --holdout, not both")
    with_grid = [row.name for row in comparison.rows if len(row.trials()) > 1]
    if with_grid and not (args.dev or args.holdout):
        raise ValueError(
            f"Rows {with_grid[:3]} have a grid of hyper-parameters to choose from: name a data set "
            "to choose on by --dev (never the one that is reported), or set training pictures "
            "aside by --holdout 0.1"
        )


def _provenance(comparison: Comparison) -> str:
    """Command, commit, machine and seeds: what a figure needs to be repeated."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"`{' '.join([Path(sys.executable).name, *sys.argv])}`, commit {commit or 'unknown'}, "
        f"{platform.machine()} with {os.cpu_count()} cores, {device}, seeds "
        f"{', '.join(map(str, comparison.seeds))}."
    )
