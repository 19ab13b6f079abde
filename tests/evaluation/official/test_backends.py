"""Which backend runs, and what is said where it is not the one asked for."""

import importlib.metadata
import logging
import multiprocessing

import numpy as np
import pytest
from federated_problems import columns_of
from toy_lvis import make_instances, random_set

from lt_det.evaluation.lvis_evaluator import LTLVISEvaluator
from lt_det.evaluation.official import backends
from lt_det.evaluation.official.backends import BACKENDS, check_backend, usable_backend


@pytest.fixture
def installed(monkeypatch):
    """Returns a function that pretends a version of hotcoco, or with None that there is none."""

    def pretend(found):
        def version(name):
            if found is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return found

        monkeypatch.setattr(importlib.metadata, "version", version)

    return pretend


@pytest.fixture
def usable(caplog):
    """Returns a function: what `usable_backend("hotcoco")` is, and its message."""

    def ask():
        caplog.clear()
        with caplog.at_level(logging.INFO, "lt_det"):
            return usable_backend("hotcoco"), caplog.text

    return ask


def test_proven_version_is_taken(installed, usable):
    installed("1.3.0")
    assert usable() == ("hotcoco", "")


@pytest.mark.parametrize(
    ("version", "reason"),
    [(None, "hotcoco is not installed"), ("1.3.1", "hotcoco 1.3.1 is not shown to be exact")],
)
def test_other_versions_give_way_to_the_official_api(installed, usable, version, reason):
    installed(version)
    backend, message = usable()
    assert backend == "lvis"
    assert reason in message
    assert "same numbers" in message


def test_official_api_asks_nothing(installed, caplog):
    installed(None)
    with caplog.at_level(logging.INFO, "lt_det"):
        assert usable_backend("lvis") == "lvis"
    assert not caplog.text


def test_unknown_backend_is_refused(register, tmp_path):
    with pytest.raises(ValueError, match=r"TEST\.LVIS_BACKEND is 'fast', expected one of"):
        check_backend("fast")
    name = register(random_set(0)[0].write(tmp_path / "gt.json"))
    with pytest.raises(ValueError, match=r"TEST\.LVIS_BACKEND is 'fast'"):
        LTLVISEvaluator(name, backend="fast")


def test_evaluators_of_all_backends_agree(register, tmp_path, monkeypatch):
    pytest.importorskip("hotcoco")
    toy, found = random_set(0)
    name = register(toy.write(tmp_path / "gt.json"))
    boxes = {i: [] for i in toy.images}
    for r in found:
        boxes[r["image_id"]].append((r["category_id"] - 1, r["score"], r["bbox"]))
    results = {}
    for backend in BACKENDS:
        evaluator = LTLVISEvaluator(name, backend=backend)
        with monkeypatch.context() as others:
            for other in set(BACKENDS) - {backend}:
                others.setattr(f"lt_det.evaluation.lvis_evaluator.run_{other}_eval", None)
            for image_id in toy.images:
                output = {"instances": make_instances(boxes[image_id])}
                evaluator.process([{"image_id": image_id}], [output])
            results[backend] = evaluator.evaluate()
    assert results["lvis"]["segm"]["AP"] > 0
    np.testing.assert_equal(results["lvis"], results["hotcoco"])


def test_file_that_hotcoco_refuses_is_evaluated_by_the_official_api(register, tmp_path, caplog):
    pytest.importorskip("hotcoco")
    toy, results = random_set(0)
    for entry in (*toy.images.values(), *toy.annotations, *results):
        key = "image_id" if "image_id" in entry else "id"
        entry[key] = -entry[key]
    evaluator = LTLVISEvaluator(register(toy.write(tmp_path / "gt.json")))
    with caplog.at_level(logging.INFO, "lt_det"):
        columns = columns_of(results, evaluator._ground_truth, "bbox")
        found, _ = evaluator._run_api(columns, "bbox", 300)
    assert "hotcoco refuses the ground truth (image_ids[0]" in caplog.text
    assert found.precision.max() > 0


def test_fork_of_a_process_with_hotcoco_does_not_wait_for_its_threads():
    pytest.importorskip("hotcoco")
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(usable_backend, ("hotcoco",)).get(timeout=30) == "lvis"
    assert not backends._forked_with_hotcoco
