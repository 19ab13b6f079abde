"""A whole comparison: what it finds, what it does again, and how it goes on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from detectron2.config import get_cfg
from toy_comparison import COMPARISON

from lt_det.bank import extraction
from lt_det.compare import runs
from lt_det.compare.checks import keep_settings
from lt_det.compare.rows import Comparison, Row
from lt_det.compare.tasks import TaskRunner
from lt_det.config import add_lt_det_config
from lt_det.data.statistics import FROM_CHECKPOINT
from lt_det.engine.run import evaluate
from lt_det.engine.stop_after import UNFINISHED
from lt_det.evaluation.comparison import check_comparison
from lt_det.provenance import commit

pytestmark = pytest.mark.integration
# What is tried again with every call.
FAILS = [("train", "diverges", 1), ("train", "diverges", 2)]


def compare_json(output: Path) -> dict:
    return json.loads((output / "compare.json").read_text())


def but_for_seconds(data: dict) -> dict:
    for row in data["rows"]:
        for run in row["runs"]:
            del run["train_seconds"], run["evaluate_seconds"]
    return data


@pytest.fixture
def data(finished) -> dict:
    return compare_json(finished.output)


def rows_of(data: dict) -> dict[str, dict]:
    return {row["name"]: row for row in data["rows"]}


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


# --- again, and on -----------------------------------------------------------------------------


def test_the_same_command_does_nothing_again(finished, in_process, monkeypatch):
    before = (finished.output / "compare.json").read_bytes()
    monkeypatch.setattr(extraction, "_write_shards", None)
    assert finished.run(finished.output) == 1
    assert in_process == FAILS
    assert (finished.output / "compare.json").read_bytes() == before


def test_a_removed_run_is_redone_alone(finished, in_process, data, tmp_path):
    output = finished.copy(tmp_path, "banks", "rows")
    shutil.rmtree(output / "rows" / "softmax_control" / "seed2")
    assert finished.run(output) == 1
    again = ("softmax control", 2)
    assert in_process == [("train", *again), *FAILS, ("evaluate", *again)]
    assert but_for_seconds(compare_json(output)) == but_for_seconds(data)


def killed_after(monkeypatch, number: int):
    """A session that is killed before its task ``number`` from 0; whether it was."""
    begun = []
    for method in ("_trials", "train", "evaluate"):
        original = getattr(runs.Workbench, method)

        def call(self, *arguments, original=original):
            begun.append(original)
            if len(begun) > number:
                raise KeyboardInterrupt
            return original(self, *arguments)

        monkeypatch.setattr(runs.Workbench, method, call)

    def session(run) -> bool:
        begun.clear()
        try:
            assert run() == 1
        except KeyboardInterrupt:
            return True
        return False

    return session


def out_of_time_after(monkeypatch, number: int):
    """The same for a session whose time is over."""
    begun = []
    monkeypatch.setattr(
        TaskRunner, "_is_late", lambda self: begun.append(self) or len(begun) > number
    )

    def session(run) -> bool:
        begun.clear()
        status = run()
        assert status in (1, UNFINISHED)
        return status == UNFINISHED

    return session


@pytest.mark.parametrize("stop", [killed_after, out_of_time_after])
def test_stopped_again_and_again_it_comes_to_the_same(
    finished, in_process, data, tmp_path, monkeypatch, stop
):
    output = finished.copy(tmp_path, "banks")
    session = stop(monkeypatch, 6)
    sessions = 0
    while session(lambda: finished.run(output)):
        sessions += 1
        assert sessions < 10
    assert sessions >= 2
    assert but_for_seconds(compare_json(output)) == but_for_seconds(data)
    done = [call for call in in_process if call not in FAILS and call[0] != "_trials"]
    # A call that was stopped before it began is the only one that comes twice.
    assert len(done) - len(set(done)) <= 2 * sessions


def test_rows_and_seeds_of_a_command(finished, in_process, data, tmp_path):
    output = finished.copy(tmp_path, "banks", "rows")
    assert finished.run(output, rows=["tau*"], seeds=[2]) == 0
    assert in_process == []
    part = compare_json(output)
    assert [(r["name"], [run["seed"] for run in r["runs"]]) for r in part["rows"]] == [
        ("softmax control", [2]),
        ("tau-norm", [None]),
    ]
    assert part["rows"][0]["runs"][0] == data["rows"][0]["runs"][1]


def changed(path: Path, name: str, **changes) -> str:
    """The comparison with another row of that name, as a file."""
    rows = [row | changes if row["name"] == name else row for row in COMPARISON["rows"]]
    path.write_text(yaml.safe_dump({**COMPARISON, "rows": rows}))
    return str(path)


def test_a_row_that_failed_may_be_given_other_settings(finished, in_process, tmp_path):
    output = finished.copy(tmp_path / "output", "banks", "rows")
    comparison = changed(tmp_path / "other.yaml", "diverges", settings={"SOLVER.BASE_LR": 0.01})
    assert finished.run(output, comparison=comparison) == 0
    diverges = [("diverges", 1), ("diverges", 2)]
    assert in_process == [(m, *run) for m in ("train", "evaluate") for run in diverges]
    assert rows_of(compare_json(output))["diverges"]["error"] is None


def test_choice_on_a_part_of_the_training_set(finished, in_process, tmp_path, monkeypatch):
    """Trials train on the pictures that are left, runs on all."""
    output = finished.copy(tmp_path, "banks")
    shutil.rmtree(output / "banks" / finished.dev)
    trained = []
    original = runs.train_classifier

    def train(cfg, model, bank, records):
        trained.append({record["image_id"] for record in records})
        original(cfg, model, bank, records)

    monkeypatch.setattr(runs, "train_classifier", train)
    options = {"dev": None, "holdout": 0.4, "rows": ["Balanced*"], "seeds": [1]}
    assert finished.run(output, **options) == 0
    held_out = json.loads((output / "banks" / "holdout_0.4.json").read_text())["images"]
    held_out = {image["id"] for image in held_out}
    # Picture 96 has no objects, and is not trained on.
    everything = set(range(93, 101)) - {96}
    *trials, first, second = trained
    assert trials == [everything - held_out] * 3
    assert first == second == everything
    assert compare_json(output)["dev"] == f"{finished.dev}_holdout"


# --- what is refused, before anything is done ----------------------------------------------------


@pytest.mark.parametrize(
    ("name", "changes", "options", "message"),
    [
        ("Balanced Softmax", {"grid": {"SOLVER.BASE_LR": [0.3, 0.4]}}, {}, "under other grid"),
        ("tau-norm", {"settings": {}}, {}, "under other settings"),
        ("stage 1", {}, {"opts": ["SOLVER.GAMMA", 0.5]}, r"under other config \(GAMMA: 0.5\)"),
        ("Balanced Softmax", {}, {"dev": None, "holdout": 0.3}, "under other chosen on"),
    ],
)
def test_other_settings_in_the_same_folder(finished, tmp_path, name, changes, options, message):
    comparison = changed(tmp_path / "other.yaml", name, **changes)
    with pytest.raises(ValueError, match=f"runs of row '{name}' {message}: remove"):
        finished.run(finished.output, comparison=comparison, **options)


def test_other_weights_in_a_file_of_the_same_name(finished, tmp_path, monkeypatch):
    monkeypatch.setattr("lt_det.compare.checks.sha256_of_file", lambda path: "another")
    with pytest.raises(ValueError, match="runs of row 'stage 1' under other checkpoint"):
        finished.run(finished.output)


def test_a_folder_of_an_older_version_is_not_refused_for_what_it_did_not_keep(tiny_cfg, tmp_path):
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"weights")
    tiny_cfg.MODEL.WEIGHTS = str(weights)
    given = (tmp_path, tiny_cfg, [], Comparison([Row("row")], [1]), "--dev a")
    keep_settings(*given)
    kept = tmp_path / "rows" / "row" / "settings.json"
    before = json.loads(kept.read_text())
    # As if a run were done.
    (kept.parent / "seed1").mkdir()
    (kept.parent / "seed1" / "run.json").touch()
    kept.write_text(json.dumps({key: before[key] for key in ("settings", "grid", "after")}))
    keep_settings(*given)
    kept.write_text(json.dumps({**before, "checkpoint": "another"}))
    with pytest.raises(ValueError, match="'row' under other checkpoint: remove"):
        keep_settings(*given)


def test_a_machine_without_git(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert commit() == "unknown"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dev": None}, r"Rows \['Balanced Softmax', 'tau-norm'\] have a grid .* by --dev"),
        ({"holdout": 0.1}, "--dev or --holdout, not both"),
        ({"dev": "lt_det_toy_val"}, "--dev lt_det_toy_val is in DATASETS.TEST"),
        ({"minutes": 0.0}, "Expected --minutes to be above 0, but got 0.0"),
        ({"rows": ["tow-norm"]}, "--rows 'tow-norm' matches none of"),
        ({"seeds": [1, 1]}, "seeds are not unique"),
        ({"opts": ["MODEL.WEIGHTS", ""]}, "MODEL.WEIGHTS"),
    ],
)
def test_a_bad_command(finished, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        finished.run(tmp_path / "output", **options)
    assert not list(tmp_path.glob("output/*/*"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"SOLVER.BASE_LRR": 0.1}, "Row 'tau-norm': There is no config key 'SOLVER.BASE_LRR'"),
        ({"INPUT.MIN_SIZE_TEST": 48}, "Row 'tau-norm': INPUT.MIN_SIZE_TEST is the same for all"),
        ({"MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME": 1}, "Row 'tau-norm': Expected .*NAME to be of type"),
    ],
)
def test_a_bad_row(finished, tmp_path, settings, message):
    comparison = changed(tmp_path / "other.yaml", "tau-norm", settings=settings)
    with pytest.raises(ValueError, match=message):
        finished.run(tmp_path / "output", comparison=comparison)


def test_a_row_after_one_that_failed_says_so(finished, in_process, tmp_path):
    output = finished.copy(tmp_path / "output", "banks", "rows")
    comparison = changed(tmp_path / "other.yaml", "adjusted control", after="diverges")
    shutil.rmtree(output / "rows" / "adjusted_control")
    assert finished.run(output, comparison=comparison) == 1
    error = rows_of(compare_json(output))["adjusted control"]["error"]
    assert "Row 'diverges', which this one starts from, has no" in error
