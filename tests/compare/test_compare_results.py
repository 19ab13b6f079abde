"""A whole comparison: what it finds, and that each run is a checkpoint as any other."""

from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from toy_comparison import COMPARISON, rows_of

from lt_det.config import add_lt_det_config
from lt_det.data.statistics import FROM_CHECKPOINT
from lt_det.engine.run import evaluate
from lt_det.reports.comparison.content import check_comparison

pytestmark = pytest.mark.integration


def config_of(path: Path, output: Path, *opts):
    cfg = get_cfg()
    add_lt_det_config(cfg)
    cfg.merge_from_file(path)
    cfg.merge_from_list(["DATASETS.CLASS_STATS_FILE", FROM_CHECKPOINT, "OUTPUT_DIR", str(output)])
    cfg.merge_from_list(opts)
    return cfg


def test_what_it_leaves(finished, data):
    check_comparison(data)
    rows = rows_of(data)
    assert list(rows) == [row["name"] for row in COMPARISON["rows"]]
    seeds = {name: [run["seed"] for run in row["runs"]] for name, row in rows.items()}
    assert seeds == {
        "softmax control": [1, 2],
        "Balanced Softmax": [1, 2],
        "diverges": [],
        "tau-norm": [None],
        "adjusted control": [1, 2],
    }
    errors = {name: row["error"] for name, row in rows.items() if row["error"]}
    assert list(errors) == ["diverges"]
    assert "diverged within 7 steps at SOLVER.BASE_LR 1e+38" in errors["diverges"]
    assert {(d["control"], d["task"]) for d in rows["tau-norm"]["differences"]} == {
        (control, task) for control in ("stage 1", "softmax control") for task in ("bbox", "segm")
    }
    assert [c["train_image_count"] for c in data["classes"]] == [6, 3, 1, 0, 1]
    text = (finished.output / "compare.md").read_text()
    assert "compare_groups.png" in text
    assert "| diverges         |  failed |" in text
    assert "| tau-norm         |       1 |" in text
    assert (finished.output / "compare.html").stat().st_size > 10_000
    assert "DivergedError" in (finished.output / "workers.log").read_text()


def test_a_difference_is_that_of_the_means(data):
    rows = rows_of(data)
    rows["stage 1"] = {"runs": [data["stage1"]]}
    for row in data["rows"]:
        for entry in row["differences"]:
            ours, theirs = (
                np.mean([run["results"][entry["task"]]["AP"] for run in rows[name]["runs"]])
                for name in (row["name"], entry["control"])
            )
            assert entry["AP"]["mean"] == pytest.approx(ours - theirs, abs=1e-9)
            assert entry["AP"]["lo"] <= entry["AP"]["hi"]


def test_a_diverged_trial_is_never_chosen(data):
    selection = rows_of(data)["Balanced Softmax"]["selection"]
    *good, diverged = selection["trials"]
    assert [trial["settings"]["SOLVER.BASE_LR"] for trial in good] == [0.05, 0.4]
    assert (diverged["settings"], diverged["AP"]) == ({"SOLVER.BASE_LR": 1e38}, None)
    assert selection["chosen"] == max(good, key=lambda trial: trial["AP"])["settings"]


def test_a_run_has_what_was_chosen_for_it(finished, data, tmp_path):
    chosen = rows_of(data)["Balanced Softmax"]["selection"]["chosen"]["SOLVER.BASE_LR"]
    folder = finished.output / "rows"
    cfg = config_of(folder / "Balanced_Softmax" / "seed2" / "config.yaml", tmp_path)
    assert (cfg.SOLVER.BASE_LR, cfg.SEED, cfg.SOLVER.MAX_ITER) == (chosen, 2, 7)
    cfg = config_of(folder / "adjusted_control" / "seed1" / "config.yaml", tmp_path)
    assert cfg.TEST.CALIBRATION.LOGIT_ADJUSTMENT.TAU == 0.5


def test_a_post_hoc_row_keeps_the_weights_it_starts_from(finished):
    rows = finished.output / "rows"
    states = [
        torch.load(rows / name / "model_final.pth", weights_only=True)["model"]
        for name in ("softmax_control/seed2", "adjusted_control/seed2", "softmax_control/seed1")
    ]
    name = "roi_heads.box_predictor.cls_score.weight"
    assert states[1][name].equal(states[0][name])
    assert not states[1][name].equal(states[2][name])


@pytest.mark.parametrize("name", ["Balanced Softmax", "adjusted control", "tau-norm"])
def test_a_run_is_a_checkpoint_as_any_other(finished, data, tmp_path, name):
    """tools/train_net.py --eval-only of the run's config and weights finds the same."""
    row = rows_of(data)[name]
    run = row["runs"][-1]
    seed = f"seed{run['seed']}" if run["seed"] else "run"
    folder = finished.output / "rows" / name.replace(" ", "_") / seed
    cfg = config_of(
        folder / "config.yaml", tmp_path, "MODEL.WEIGHTS", str(folder / "model_final.pth")
    )
    for task, metrics in evaluate(cfg).items():
        for metric in ("AP", "AP50", "APr", "APf"):
            assert run["results"][task][metric] == pytest.approx(metrics[metric], abs=1e-4), task


def test_stage_1_is_what_its_own_evaluation_finds(finished, data, tmp_path):
    results = evaluate(config_of(finished.config_file, tmp_path))
    assert results["bbox"]["AP"] > 0.1
    for task, metrics in results.items():
        for metric in ("AP", "AP50", "APr", "APf"):
            assert data["stage1"]["results"][task][metric] == pytest.approx(
                metrics[metric], abs=1e-4
            )
