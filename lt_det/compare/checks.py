"""What is checked of a comparison before its first task."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from detectron2.config import CfgNode

from lt_det.bank.identity import content_of, sha256_of_file
from lt_det.compare.rows import Comparison, Row
from lt_det.compare.runs import has_results, row_folder, stage1_run
from lt_det.compare.settings import check_keys, with_settings
from lt_det.config import check_config
from lt_det.utils.atomic_file import atomic_text

__all__ = ["check_rows", "check_selection", "keep_settings"]


def check_selection(
    args: argparse.Namespace, comparison: Comparison, test_sets: Sequence[str]
) -> None:
    """Raise ValueError unless there is what to choose hyper-parameters on, and nothing else is."""
    if args.dev and args.holdout:
        raise ValueError("Give --dev or --holdout, not both")
    if args.dev in test_sets:
        raise ValueError(
            f"--dev {args.dev} is in DATASETS.TEST: hyper-parameters chosen on the set that is "
            "reported flatter it. Name another set, or use --holdout 0.1"
        )
    with_grid = [row.name for row in comparison.rows if row.has_choice]
    if with_grid and not (args.dev or args.holdout):
        raise ValueError(
            f"Rows {with_grid[:3]} have a grid of hyper-parameters to choose from: name a data set "
            "to choose on by --dev (never the one that is reported), or set training pictures "
            "aside by --holdout 0.1"
        )


def check_rows(cfg: CfgNode, comparison: Comparison) -> None:
    """Find a mistake in the last row before the first one trains.

    Raises:
        ValueError: naming the row and the key.
    """
    for row in comparison.rows:
        try:
            check_keys({**row.settings, **row.grid})
            trials = [
                with_settings(cfg, {**row.settings, **settings}, num_pictures=1)
                for settings in row.trials()
            ]
            # Of one: what it warns of would come once a trial.
            check_config(trials[0])
        except ValueError as error:
            raise ValueError(f"Row {row.name!r}: {error}") from error


def keep_settings(
    output_dir: Path, cfg: CfgNode, records: Sequence[dict], comparison: Comparison, choice: str
) -> None:
    """Keep what decides each row, so that a run of other settings is never taken for it.

    Args:
        output_dir: of the comparison.
        cfg: of the detector.
        records: the training records.
        comparison: its rows.
        choice: what hyper-parameters are chosen on.

    Raises:
        ValueError: naming the row and what differs.
    """
    shared = {
        "config": _config_text(cfg),
        "checkpoint": sha256_of_file(cfg.MODEL.WEIGHTS),
        "data": content_of(cfg.DATASETS.TRAIN, records),
    }
    for row in [stage1_run().row, *comparison.rows]:
        decides = {**shared, "settings": row.settings, "grid": row.grid, "after": row.after}
        if row.has_choice:
            decides["chosen on"] = choice
        _keep(row_folder(output_dir, row), row, json.loads(json.dumps(decides)))


def _keep(folder: Path, row: Row, decides: Mapping) -> None:
    path = folder / "settings.json"
    if path.is_file() and has_results(folder):
        different = _differences(json.loads(path.read_text(encoding="utf-8")), decides)
        if different:
            raise ValueError(
                f"{folder} holds runs of row {row.name!r} under other {', '.join(different)}: "
                "remove that folder, or name another --output"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_text(path) as file:
        json.dump(decides, file, indent=1)


def _config_text(cfg: CfgNode) -> str:
    cfg = cfg.clone()
    cfg.defrost()
    # Where it runs and what it is tested on decide nothing; the weights' content does.
    for key, node in (("OUTPUT_DIR", cfg), ("DEVICE", cfg.MODEL), ("TEST", cfg.DATASETS)):
        node.pop(key)
    return cfg.dump()


def _differences(kept: Mapping, decides: Mapping) -> list[str]:
    """Names of what differs; of the config the lines. What an older version did not keep, fits."""
    names = [key for key, value in decides.items() if kept.get(key, value) != value]
    if "config" in names:
        before = kept["config"].splitlines()
        lines = [line.strip() for line in decides["config"].splitlines() if line not in before]
        names[names.index("config")] = f"config ({', '.join(lines[:3])})"
    return names
