"""What an evaluator refuses is said before the model is built, with the data set's name."""

import json
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from lt_det.data.datasets.coco import register_coco_format
from lt_det.data.datasets.lvis import register_lvis_format
from lt_det.engine import test_sets
from lt_det.engine.run import train
from lt_det.engine.trainer import LTTrainer

NAME = "lt_det_faulty_val"


class Built(Exception):
    """The model would have been built: all checks were passed."""


@pytest.fixture(autouse=True)
def _no_model(monkeypatch):
    def build_model(cfg):
        raise Built

    monkeypatch.setattr(LTTrainer, "build_model", staticmethod(build_model))


@pytest.fixture
def faulty(toy_lvis, tiny_cfg, tmp_path):
    """Function: change the content of val and register it as the test set."""

    def _register(change, register=register_lvis_format):
        content = json.loads(toy_lvis.val_json.read_text())
        change(content)
        path = tmp_path / "val.json"
        path.write_text(json.dumps(content))
        register(NAME, path, toy_lvis.image_root)
        tiny_cfg.DATASETS.TEST = (toy_lvis.val, NAME)
        return tiny_cfg

    yield _register
    if NAME in DatasetCatalog:
        DatasetCatalog.remove(NAME)
        MetadataCatalog.remove(NAME)


FAULTS = {
    "annotation id twice": lambda c: c["annotations"].append(dict(c["annotations"][0])),
    "LVIS without its lists": lambda c: [i.pop("neg_category_ids") for i in c["images"]],
    "unknown category": lambda c: c["annotations"][0].update(category_id=99),
}


@pytest.mark.parametrize("change", FAULTS.values(), ids=FAULTS)
def test_a_fault_of_val_stops_the_training_before_the_model(faulty, change):
    cfg = faulty(change)
    with pytest.raises(ValueError, match=r"val\.json has \d+ faults?:"):
        train(cfg)


def test_what_has_one_safe_reading_stops_nothing(faulty):
    with pytest.raises(Built):
        train(faulty(lambda c: [a.pop("area") for a in c["annotations"]]))


def test_a_good_set_reaches_the_model_and_leaves_nothing_behind(faulty):
    cfg = faulty(lambda content: None)
    with pytest.raises(Built):
        train(cfg)
    assert not Path(cfg.OUTPUT_DIR).exists()


def test_a_groups_file_that_is_missing(tiny_cfg, toy_lvis):
    tiny_cfg.TEST.GROUPS_FILE = "none.json"
    with pytest.raises(
        FileNotFoundError, match=f"^The test set '{toy_lvis.val}' .* Groups file not found: none"
    ):
        train(tiny_cfg)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("DETECTIONS_PER_CLASS", -1, "TEST.DETECTIONS_PER_CLASS is -1"),
        ("BOUNDARY_DILATION", 2.0, "TEST.BOUNDARY_DILATION is 2.0"),
        ("LVIS_BACKEND", "fast", "'fast'"),
    ],
)
def test_settings_of_the_evaluation(tiny_cfg, key, value, message):
    tiny_cfg.TEST[key] = value
    with pytest.raises(ValueError, match=message):
        train(tiny_cfg)


def test_thresholds_that_are_none(tiny_cfg):
    tiny_cfg.DATASETS.GROUP_THRESHOLDS = (100, 10)
    with pytest.raises(ValueError, match="100"):
        train(tiny_cfg)


def test_a_coco_set_is_grouped_by_the_training_sets_statistics(faulty, caplog, monkeypatch):
    """Which the model has later: nothing is said of groups that stay empty."""
    cfg = faulty(lambda content: None, register_coco_format)
    groups = {}
    build = LTTrainer.build_evaluator.__func__

    def noting(cls, cfg, name):
        evaluator = build(cls, cfg, name)
        groups[name] = evaluator.groups.tolist()
        return evaluator

    monkeypatch.setattr(LTTrainer, "build_evaluator", classmethod(noting))
    cfg.DATASETS.GROUP_THRESHOLDS = (2, 5)
    with pytest.raises(Built):
        train(cfg)
    # Images by class in train: 6, 3, 1, 0, 1.
    assert groups[NAME] == [2, 1, 0, 0, 0]
    assert "stay empty" not in caplog.text


def test_statistics_of_a_checkpoint_are_not_missed_yet(faulty, caplog):
    cfg = faulty(lambda content: None, register_coco_format)
    cfg.DATASETS.CLASS_STATS_FILE = "checkpoint"
    cfg.DATASETS.GROUP_THRESHOLDS = (2, 5)
    with pytest.raises(Built):
        LTTrainer(cfg)
    assert "stay empty" not in caplog.text


def test_a_model_without_statistics_is_said_before_the_first_step(tiny_cfg):
    tiny_cfg.DATASETS.GROUP_THRESHOLDS = (2, 5)
    with pytest.raises(ValueError, match="GROUP_THRESHOLDS needs class statistics"):
        test_sets.check_groups(tiny_cfg)
    tiny_cfg.DATASETS.GROUP_THRESHOLDS = (10, 100)
    test_sets.check_groups(tiny_cfg)


class Evaluators:
    """A user's own, which notes what is built."""

    def __init__(self, error=None):
        self.error, self.built = error, []

    def build_test_loader(self, cfg, name):
        self.built.append(("loader", name))

    def build_evaluator(self, cfg, name):
        self.built.append(("evaluator", name))
        if self.error:
            raise self.error


def test_a_users_own_evaluators_are_built(tiny_cfg):
    evaluators = Evaluators()
    test_sets.check_test_sets(tiny_cfg, ("a", "b"), evaluators)
    assert evaluators.built == [(kind, n) for n in "ab" for kind in ("loader", "evaluator")]
    with pytest.raises(ValueError, match="The test set 'a' cannot be evaluated: no such format"):
        test_sets.check_test_sets(tiny_cfg, ("a",), Evaluators(ValueError("no such format")))
    with pytest.raises(TypeError):
        test_sets.check_test_sets(tiny_cfg, ("a",), Evaluators(TypeError("a bug")))


def test_a_set_without_an_evaluator_is_passed_over_as_in_detectron2(tiny_cfg):
    evaluators = Evaluators(NotImplementedError())
    test_sets.check_test_sets(tiny_cfg, ("a", "b"), evaluators)
    assert len(evaluators.built) == 4


def test_without_test_sets_nothing_is_counted(tiny_cfg, monkeypatch):
    monkeypatch.setattr(test_sets, "class_stats_from_config", None)
    test_sets.check_test_sets(tiny_cfg, (), None)
