"""A comparison continued, stopped or asked for otherwise: what is done again, and what is not."""

import json
import shutil

import pytest
from toy_comparison import changed, compare_json, rows_of

from lt_det.bank import extraction
from lt_det.compare import runs
from lt_det.compare.tasks import TaskRunner
from lt_det.engine.stop_after import UNFINISHED

pytestmark = pytest.mark.integration
# What is tried again with every call.
FAILS = [("train", "diverges", 1), ("train", "diverges", 2)]


def but_for_seconds(data: dict) -> dict:
    for row in data["rows"]:
        for run in row["runs"]:
            del run["train_seconds"], run["evaluate_seconds"]
    return data


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


def test_a_row_after_one_that_failed_says_so(finished, in_process, tmp_path):
    output = finished.copy(tmp_path / "output", "banks", "rows")
    comparison = changed(tmp_path / "other.yaml", "adjusted control", after="diverges")
    shutil.rmtree(output / "rows" / "adjusted_control")
    assert finished.run(output, comparison=comparison) == 1
    error = rows_of(compare_json(output))["adjusted control"]["error"]
    assert "Row 'diverges', which this one starts from, has no" in error
