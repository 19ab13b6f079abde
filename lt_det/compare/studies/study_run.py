"""The command of ``tools/run_study.py``: a study, its table and its pictures."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from lt_det.class_stats import ClassStats
from lt_det.compare.collect import best_run
from lt_det.compare.studies.study import Study, seed_folder
from lt_det.compare.studies.study_jobs import run_comparison, run_study
from lt_det.compare.studies.study_report import write_study_report
from lt_det.openmoji.register import register_all_openmoji
from lt_det.reports.visualize import draw_predictions
from lt_det.utils.provenance import provenance

__all__ = ["PRESETS", "run_from_args"]

_REPOSITORY = Path(__file__).parents[3]
_STUDIES = _REPOSITORY / "configs" / "OpenMoji-InstanceSegmentation" / "studies"
PRESETS = ("ci", "demo", "study", "end_to_end")


def run_from_args(args: argparse.Namespace) -> None:
    """Run the study and print its tables."""
    start = time.monotonic()
    study = Study.load(args.study or _STUDIES / f"{args.preset}.yaml")
    run_study(study, args.output, args.jobs)
    for dataset_name in study.test if study.rows else ():
        print("\n" + report(study, args.output, dataset_name))
    folders = [
        run_comparison(study, args.output, seed, args.jobs)
        for seed in (study.seeds if study.compare else ())
    ]
    pictures = draw(study, args.output)
    minutes = (time.monotonic() - start) / 60
    tables = ", ".join(map(str, folders)) or f"{args.output}/*.md"
    print(f"{minutes:.1f} minutes. Tables: {tables}, predictions: {pictures}")


def report(study: Study, output_dir: str | Path, dataset_name: str) -> str:
    """Write and return the tables of one test set."""
    folders = {name: name for name in study.stage1}
    names = {name: f"stage 1, {name}" for name in study.stage1}
    for row in study.rows:
        folders[row.name], names[row.name] = row.folder, row.name
    runs = {
        names[name]: [
            seed_folder(output_dir, folder, seed) / "inference" / dataset_name
            for seed in study.seeds
        ]
        for name, folder in folders.items()
    }
    first = seed_folder(output_dir, next(iter(folders.values())), study.seeds[0])
    return write_study_report(
        Path(output_dir) / f"{dataset_name}.md",
        runs,
        {row.name: row.controls for row in study.rows},
        ClassStats.load(first / "class_stats.json").groups(),
        title=f"{dataset_name}",
        notes=[provenance(study.seeds)],
    )


def draw(study: Study, output_dir: str | Path) -> Path:
    """Predictions beside ground truth, on the first test set.

    Those of the last row's first seed; of a comparison's best, where there are no rows.
    """
    register_all_openmoji()
    if study.rows:
        run = seed_folder(output_dir, study.rows[-1].folder, study.seeds[0])
    else:
        run = best_run(Path(output_dir) / "compare" / f"seed{study.seeds[0]}")
    results = run / "inference" / study.test[0] / "lvis_instances_results.json"
    draw_predictions(study.test[0], results, run / "pictures")
    return run / "pictures"
