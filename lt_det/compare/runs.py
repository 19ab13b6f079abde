"""One method under one seed: train it on the bank, choose its hyper-parameters, evaluate it."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from detectron2.config import CfgNode
from torch import nn

from lt_det.bank.extract_test_set import ProposalBank
from lt_det.bank.feature_bank import FeatureBank
from lt_det.bank.scoring import detect
from lt_det.bank.training import DivergedError, train_classifier
from lt_det.compare.rows import STAGE1, Row
from lt_det.compare.settings import with_settings
from lt_det.config import check_config
from lt_det.data.loaders import test_dataset
from lt_det.engine.checkpoint import LTCheckpointer
from lt_det.engine.test_sets import save_class_stats
from lt_det.engine.trainer import LTTrainer, initialize_from_weights
from lt_det.evaluation.group_evaluator import GroupEvaluator
from lt_det.evaluation.metrics.bootstrap import replicate_metrics
from lt_det.modeling.find_predictors import only_predictor
from lt_det.utils.atomic_file import atomic_text
from lt_det.utils.forked import forked_map
from lt_det.utils.seeding import seed_everything

__all__ = ["Run", "Workbench", "has_results", "row_folder", "run_folder", "stage1_run"]

logger = logging.getLogger(__name__)

# Folder of a run in which nothing is random.
NO_SEED = "run"
_RUN, _SELECTION, MODEL = "run.json", "selection.json", "model_final.pth"
SELECTION_METRICS = ("AP", "APr", "APc", "APf")


@dataclass(frozen=True)
class Run:
    """A row under a seed; ``seed`` is None where nothing is random."""

    row: Row
    seed: int | None

    @property
    def name(self) -> str:
        """For messages."""
        return self.row.name if self.seed is None else f"{self.row.name}, seed {self.seed}"


def stage1_run() -> Run:
    """The detector that all rows begin with, as a run of its own."""
    return Run(Row(STAGE1, after=STAGE1), None)


def row_folder(output_dir: str | Path, row: Row) -> Path:
    """Where a row's files are."""
    return Path(output_dir) / "rows" / row.folder


def run_folder(output_dir: str | Path, run: Run) -> Path:
    """Where a run's files are."""
    seed = NO_SEED if run.seed is None else f"seed{run.seed}"
    return row_folder(output_dir, run.row) / seed


def has_results(folder: Path) -> bool:
    """Whether a row's folder holds anything that its settings decided."""
    return (folder / _SELECTION).is_file() or any(folder.glob(f"*/{_RUN}"))


@dataclass
class Workbench:
    """Everything that the runs of a comparison share.

    Args:
        cfg: of the detector, ``MODEL.WEIGHTS`` its stage 1.
        output_dir: of the comparison.
        model: the frozen detector, with the weights of stage 1.
        bank: its features on the training set.
        records: the training records, in the bank's order.
        test: the proposal bank of each data set to evaluate on.
        trial_pictures: indices of the pictures to train trials on, where dev is a part of the
            training set; None is all of them.
        dev: data set on which hyper-parameters are chosen; "" for none.
        evaluation_jobs: processes that evaluate side by side.
    """

    cfg: CfgNode
    output_dir: Path
    model: nn.Module
    bank: FeatureBank
    records: Sequence[dict]
    test: Mapping[str, ProposalBank]
    trial_pictures: Sequence[int] | None
    dev: str
    evaluation_jobs: int = 1

    def select(self, row: Row, seed: int | None) -> dict:
        """Choose a row's hyper-parameters by box AP on dev.

        Boxes alone are evaluated: the classifier decides boxes and masks alike, and masks cost
        most. Trials that were done before are kept. One that diverges is never chosen.

        Returns:
            ``{"trials": [{"settings", "AP", "APr", "APc", "APf"}], "chosen": settings}``.

        Raises:
            ValueError: if no trial has an AP.
        """
        path = self._selection_file(row)
        trials = (self.chosen(row) or {"trials": []})["trials"]
        done = [trial["settings"] for trial in trials]
        left = [settings for settings in row.trials() if settings not in done]
        for start in range(0, len(left), self.evaluation_jobs):
            trials += self._trials(row, seed, left[start : start + self.evaluation_jobs])
            if found := [trial for trial in trials if not math.isnan(trial["AP"])]:
                best = max(found, key=lambda trial: trial["AP"])
                _write_json(path, {"trials": trials, "chosen": best["settings"]})
        selection = self.chosen(row)
        if selection is None:
            raise ValueError(
                f"No trial of {row.name!r} has an AP on {self.dev!r}: all diverged, or it holds no "
                f"objects. Change the grid, {dict(row.grid)}"
            )
        return selection

    def _trials(self, row: Row, seed: int | None, trials: Sequence[dict]) -> list[dict]:
        """Train trials one by one, evaluate boxes on dev together; NaN where training diverges."""
        loaded = {}
        for number, settings in enumerate(trials):
            folder = self._selection_file(row).parent / "trials" / str(number)
            cfg = self._config(row, seed, settings, folder)
            try:
                loaded[number] = cfg, self._trained(cfg, row, seed, self.trial_pictures)
            except DivergedError as error:
                logger.warning("%s, %s: %s", row.name, dict(settings), error)
        results = self._evaluate(list(loaded.values()), self.dev, with_masks=False)
        metrics = dict(zip(loaded, (result["bbox"] for result in results), strict=True))
        nothing = dict.fromkeys(SELECTION_METRICS, math.nan)
        return [
            {"settings": settings, **{n: metrics.get(number, nothing)[n] for n in nothing}}
            for number, settings in enumerate(trials)
        ]

    def _selection_file(self, row: Row) -> Path:
        return row_folder(self.output_dir, row) / _SELECTION

    def chosen(self, row: Row) -> dict | None:
        """The selection of a row, if there is one."""
        path = self._selection_file(row)
        return json.loads(path.read_text()) if path.is_file() else None

    def train(self, run: Run) -> None:
        """Leave ``model_final.pth``, a checkpoint of the whole detector, and ``run.json``."""
        folder = run_folder(self.output_dir, run)
        cfg = self.config(run)
        start = time.perf_counter()
        model = self._trained(cfg, run.row, run.seed, None)
        seconds = time.perf_counter() - start
        save_class_stats(model, str(folder))
        LTCheckpointer(model, str(folder)).save(Path(MODEL).stem)
        (folder / "config.yaml").write_text(cfg.dump())
        _write_json(folder / _RUN, {"train_seconds": seconds if run.row.is_trained else 0.0})

    def is_trained(self, run: Run) -> bool:
        """Whether :meth:`train` is done."""
        return (run_folder(self.output_dir, run) / _RUN).is_file()

    def evaluate(self, runs: Sequence[Run], dataset_name: str) -> None:
        """Evaluate runs that are trained, in one pass; leaves what an evaluation leaves."""
        start = time.perf_counter()
        loaded = [(cfg := self.config(run), self._loaded(cfg, run)) for run in runs]
        self._evaluate(loaded, dataset_name, with_masks=True)
        seconds = (time.perf_counter() - start) / len(runs)
        for run in runs:
            path = run_folder(self.output_dir, run) / "inference" / dataset_name / _RUN
            _write_json(path, {"evaluate_seconds": seconds})

    def is_evaluated(self, run: Run, dataset_name: str) -> bool:
        """Whether :meth:`evaluate` is done."""
        return self.results_folder(run, dataset_name).joinpath(_RUN).is_file()

    def results_folder(self, run: Run, dataset_name: str) -> Path:
        """Where an evaluation's files are."""
        return run_folder(self.output_dir, run) / "inference" / dataset_name

    def seconds(self, run: Run, dataset_name: str) -> dict[str, float]:
        """What training and evaluation took."""
        folder = run_folder(self.output_dir, run)
        evaluated = self.results_folder(run, dataset_name) / _RUN
        return {**json.loads((folder / _RUN).read_text()), **json.loads(evaluated.read_text())}

    def config(self, run: Run) -> CfgNode:
        """The config of a run, chosen hyper-parameters included."""
        if run.row.has_choice:
            chosen = self.chosen(run.row)["chosen"]
        else:
            (chosen,) = run.row.trials()
        return self._config(run.row, run.seed, chosen, run_folder(self.output_dir, run))

    def _config(self, row: Row, seed: int | None, settings: Mapping, folder: Path) -> CfgNode:
        values = {**row.settings, **settings, "OUTPUT_DIR": str(folder)}
        if seed is not None:
            values["SEED"] = seed
        cfg = with_settings(self.cfg, values, len(self.records))
        check_config(cfg)
        folder.mkdir(parents=True, exist_ok=True)
        return cfg

    def _trained(
        self, cfg: CfgNode, row: Row, seed: int | None, pictures: Sequence[int] | None
    ) -> nn.Module:
        seed_everything(max(cfg.SEED, 0))
        model = LTTrainer.build_model(cfg)
        if not row.is_trained:
            LTCheckpointer(model).load(self._start_of(row, seed), checkpointables=[])
            return model
        initialize_from_weights(cfg, model, LTCheckpointer(model))
        bank, records = self.bank, self.records
        if pictures is not None:
            bank, records = bank.subset(pictures), [records[index] for index in pictures]
        train_classifier(cfg, model, bank, records)
        return model

    def _start_of(self, row: Row, seed: int | None) -> str:
        """The checkpoint that a post-hoc row starts from."""
        if row.after == STAGE1:
            return self.cfg.MODEL.WEIGHTS
        path = run_folder(self.output_dir, Run(Row(row.after), seed)) / MODEL
        if not path.is_file():
            raise FileNotFoundError(f"Row {row.after!r}, which this one starts from, has no {path}")
        return str(path)

    def _loaded(self, cfg: CfgNode, run: Run) -> nn.Module:
        model = LTTrainer.build_model(cfg)
        path = run_folder(self.output_dir, run) / MODEL
        LTCheckpointer(model).load(str(path), checkpointables=[])
        return model

    def _evaluate(
        self, loaded: Sequence[tuple[CfgNode, nn.Module]], dataset_name: str, with_masks: bool
    ) -> list[dict]:
        """Results of models that differ in their classifiers alone."""
        if not loaded:
            return []
        evaluators = []
        for cfg, model in loaded:
            save_class_stats(model, cfg.OUTPUT_DIR)
            evaluators.append(LTTrainer.build_evaluator(cfg, dataset_name))
        predictors = [only_predictor(model) for _, model in loaded]
        dataset = None
        if with_masks and not self.cfg.FEATURE_BANK.STORE_MAPS:
            dataset = test_dataset(self.cfg, dataset_name)
        found = detect(
            self.model, self.test[dataset_name], predictors, with_masks=with_masks, dataset=dataset
        )
        for of_picture in found:
            for evaluator, detections in zip(evaluators, of_picture, strict=True):
                evaluator.add(detections)

        def finish(evaluator: GroupEvaluator) -> dict:
            results = evaluator.evaluate()
            if with_masks:
                _write_replicates(evaluator)
            return results

        return forked_map(finish, evaluators, self.evaluation_jobs)


def replicates_file(folder: Path, task: str) -> Path:
    """Where an evaluation's metrics on resampled pictures are."""
    return folder / f"replicates_{task}.npz"


def _write_replicates(evaluator: GroupEvaluator) -> None:
    """Here, because evaluations run side by side and what compares them does not."""
    for task, matches in evaluator.matches.items():
        path = replicates_file(Path(evaluator.output_dir), task)
        np.savez(path, **replicate_metrics(matches, evaluator.groups))


def _write_json(path: Path, values: Mapping) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_text(path) as file:
        json.dump(values, file, indent=1)
