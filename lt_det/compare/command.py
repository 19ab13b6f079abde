"""The command of ``tools/compare.py``: banks, trainings, evaluations, report."""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.utils.logger import setup_logger

from lt_det.bank.extract_test_set import build_proposal_bank
from lt_det.bank.extract_training_set import build_feature_bank
from lt_det.compare.checks import check_rows, check_selection, keep_settings
from lt_det.compare.collect import collect, runs_of, write_comparison
from lt_det.compare.holdout import hold_out
from lt_det.compare.rows import STAGE1, Comparison, Row
from lt_det.compare.runs import Run, Workbench, stage1_run
from lt_det.compare.tasks import OutOfTimeError, Task, TaskRunner
from lt_det.config import check_config
from lt_det.data.datasets.check import check_datasets
from lt_det.data.datasets.training_sets import training_dicts
from lt_det.engine.check_start import require_weights
from lt_det.engine.checkpoint import LTCheckpointer
from lt_det.engine.run import config_from_args
from lt_det.engine.stop_after import UNFINISHED
from lt_det.engine.test_sets import check_test_sets
from lt_det.engine.trainer import LTTrainer
from lt_det.reports.comparison.report import write_compare_report
from lt_det.utils.provenance import provenance

__all__ = ["run_from_args"]

logger = logging.getLogger(__name__)

# Runs that share a pass over the test pictures: their detections are all in memory.
_RUNS_A_PASS = 10


def run_from_args(args: argparse.Namespace) -> int:
    """The job of ``tools/compare.py``; returns its exit status.

    0: done. 1: done, but for methods that failed. :data:`UNFINISHED`: ``--minutes`` are over.
    """
    deadline = time.monotonic() + 60 * args.minutes if args.minutes is not None else float("inf")
    comparison = Comparison.load(args.comparison)
    if args.seeds:
        comparison = Comparison(comparison.rows, args.seeds)
    if args.rows:
        comparison = comparison.select(args.rows)
    _check_args(args)
    output_dir = Path(args.output)
    output_dir.mkdir(parents=True, exist_ok=True)
    setup_logger(str(output_dir), name="lt_det")
    cfg = _config(args)
    check_selection(args, comparison, cfg.DATASETS.TEST)
    check_rows(cfg, comparison)
    records = training_dicts(cfg)
    # Before features are extracted and methods trained.
    check_test_sets(cfg, (*cfg.DATASETS.TEST, *([args.dev] if args.dev else [])), LTTrainer)
    choice = f"--holdout {args.holdout}" if args.holdout else f"--dev {args.dev}"
    keep_settings(output_dir, cfg, records, comparison, choice)
    try:
        bench = _workbench(args, cfg, records, output_dir, deadline)
    except OutOfTimeError:
        return _unfinished()
    num_jobs, bench.evaluation_jobs = _jobs(args, cfg)
    runner = TaskRunner(bench, num_jobs, output_dir / "workers.log", deadline)
    try:
        _run(bench, comparison, runner)
        status = 1 if runner.errors else 0
    except OutOfTimeError:
        status = _unfinished()
    for name in cfg.DATASETS.TEST:
        if bench.is_evaluated(stage1_run(), name):
            print("\n" + _report(bench, comparison, runner, name))
    return status


def _unfinished() -> int:
    print("Time is over and there is more to do: the same command continues.")
    return UNFINISHED


def _config(args: argparse.Namespace) -> CfgNode:
    cfg = config_from_args(args)
    check_config(cfg)
    require_weights(cfg)
    check_datasets((*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST, *([args.dev] if args.dev else [])))
    return cfg


def _jobs(args: argparse.Namespace, cfg: CfgNode) -> tuple[int, int]:
    """Processes for runs, and for the evaluations of each; a GPU's runs are all in this one."""
    jobs = args.jobs or os.cpu_count() or 1
    return (jobs, 1) if torch.device(cfg.MODEL.DEVICE).type == "cpu" else (0, jobs)


def _workbench(
    args: argparse.Namespace,
    cfg: CfgNode,
    records: Sequence[dict],
    output_dir: Path,
    deadline: float,
) -> Workbench:
    """Everything shared, the banks extracted as far as they are not there.

    Raises:
        OutOfTimeError: if the deadline came before they are.
    """

    def check_time() -> None:
        if time.monotonic() >= deadline:
            raise OutOfTimeError

    model = LTTrainer.build_model(cfg)
    LTCheckpointer(model).load(cfg.MODEL.WEIGHTS, checkpointables=[])
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
        bank=build_feature_bank(cfg, model, banks / "train", check_time),
        records=records,
        test={
            name: build_proposal_bank(cfg, model, name, banks / name, check_time) for name in names
        },
        trial_pictures=trial_pictures,
        dev=dev,
    )


def _run(bench: Workbench, comparison: Comparison, runner: TaskRunner) -> None:
    """Everything that is not done yet; rows that fail are left out from then on.

    Raises:
        OutOfTimeError: see :meth:`TaskRunner.run`.
    """
    runs = [stage1_run()]
    trained = [row for row in comparison.rows if row.is_trained or row.after == STAGE1]
    others = [row for row in comparison.rows if row not in trained]
    for title, rows in (("", trained), (", after others", others)):
        runner.run(f"choosing{title}", _selections(bench, comparison, rows, runner))
        chosen = [row for row in rows if row.name not in runner.errors]
        more = [run for row in chosen for run in runs_of(comparison, row)]
        _train([run for run in (*runs, *more) if not bench.is_trained(run)], title, runner)
        runs = [run for run in (*runs, *more) if bench.is_trained(run)]
    for name in bench.cfg.DATASETS.TEST:
        _evaluate([run for run in runs if not bench.is_evaluated(run, name)], name, runner)


def _train(runs: Sequence[Run], title: str, runner: TaskRunner) -> None:
    runner.run(f"training{title}", [Task(run.row.name, "train", (run,)) for run in runs])


def _selections(bench, comparison, rows: Sequence[Row], runner: TaskRunner) -> list[Task]:
    tasks = []
    for row in rows:
        selection = bench.chosen(row) or {"trials": []}
        if row.has_choice and len(row.trials()) > len(selection["trials"]):
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
    data = collect(bench, comparison, dataset_name, runner.errors, [provenance(comparison.seeds)])
    write_comparison(folder / "compare.json", data)
    text = write_compare_report(folder, data)
    return f"{text}\nPage and plots: {folder}/compare.html"


def _check_args(args: argparse.Namespace) -> None:
    if args.jobs < 0:
        raise ValueError(f"Expected --jobs to be 0 or more, but got {args.jobs}")
    if args.minutes is not None and not args.minutes > 0:
        raise ValueError(f"Expected --minutes to be above 0, but got {args.minutes}")
