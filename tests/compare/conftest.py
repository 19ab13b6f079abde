"""Fixtures of the comparison tests: one that ran through, for all of them."""

import contextlib
import logging
from collections.abc import Iterator
from functools import partial

import pytest
import yaml
from toy_comparison import COMPARISON, Given, compare_json
from toy_stage1 import frozen_stage1

from lt_det.compare import command, runs


@pytest.fixture(scope="session")
def ran_through(make_tiny_cfg, toy_lvis, tmp_path_factory) -> Given:
    """A comparison that ran through, in two processes. All tests share it."""
    folder = tmp_path_factory.mktemp("comparison")
    cfg = frozen_stage1(make_tiny_cfg(folder / "stage1"), folder)
    config_file, comparison = folder / "stage1.yaml", folder / "comparison.yaml"
    config_file.write_text(cfg.dump())
    comparison.write_text(yaml.safe_dump(COMPARISON))
    given = Given(config_file, comparison, toy_lvis.train, folder / "output")
    with pytest.MonkeyPatch.context() as patch, _few_replicates(), _loggers_as_they_were():
        patch.setenv("LT_DET_CACHE", str(folder / "cache"))
        # One failed, the others are done.
        assert given.run(given.output) == 1
    return given


@pytest.fixture
def finished(ran_through) -> Iterator[Given]:
    """The same, for a test that gives further commands."""
    with _few_replicates(), _loggers_as_they_were():
        yield ran_through


@pytest.fixture
def data(ran_through) -> dict:
    """What it wrote."""
    return compare_json(ran_through.output)


@pytest.fixture
def in_process(monkeypatch) -> list[tuple]:
    """Work in this process, draw nothing; what is done: ``("train", row, seed)`` and the like."""
    calls = []

    def recorded(method: str, described):
        original = getattr(runs.Workbench, method)

        def call(self, *arguments):
            calls.extend((method, *entry) for entry in described(*arguments))
            return original(self, *arguments)

        monkeypatch.setattr(runs.Workbench, method, call)

    recorded("_trials", lambda row, seed, trials: [(row.name, seed)] * len(trials))
    recorded("train", lambda run: [(run.row.name, run.seed)])
    recorded("evaluate", lambda given, name: [(run.row.name, run.seed) for run in given])
    # As on a GPU: evaluations fork.
    monkeypatch.setattr(command, "_jobs", lambda *_: (0, 2))
    monkeypatch.setattr(command, "write_compare_report", lambda folder, data: "")
    return calls


@contextlib.contextmanager
def _loggers_as_they_were() -> Iterator[None]:
    """Afterwards, what Detectron2's ``setup_logger`` changes is undone."""
    logger = logging.getLogger("lt_det")
    before = {"handlers": list(logger.handlers), "propagate": logger.propagate}
    level = logger.level
    try:
        yield
    finally:
        vars(logger).update(before)
        logger.setLevel(level)


@contextlib.contextmanager
def _few_replicates() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        few = partial(runs.replicate_metrics, num_replicates=20)
        patch.setattr(runs, "replicate_metrics", few)
        yield
