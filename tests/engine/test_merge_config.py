"""A mistyped key is named, with what may have been meant."""

import pytest
from detectron2.config import get_cfg

from lt_det.config import add_lt_det_config
from lt_det.engine.merge_config import merge_config


@pytest.fixture
def cfg():
    cfg = get_cfg()
    add_lt_det_config(cfg)
    return cfg


def test_file_then_options(cfg, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("SOLVER: {BASE_LR: 0.5, MAX_ITER: 7}\n")
    merge_config(cfg, str(path), ["SOLVER.MAX_ITER", "9"])
    assert (cfg.SOLVER.BASE_LR, cfg.SOLVER.MAX_ITER) == (0.5, 9)
    merge_config(cfg, None, [])
    assert cfg.SOLVER.MAX_ITER == 9


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("SOLVER.BASE_LRR", "Near matches: SOLVER.BASE_LR"),
        ("TEST.LVIS_BAKEND", "Near matches: TEST.LVIS_BACKEND"),
        ("MODEL.NUM_CLASSES", "MODEL.ROI_HEADS.NUM_CLASSES"),
        ("XYZ", "python -m lt_det.config"),
        ("TEST.CALIBRATION.MY_OWN", "imported before add_lt_det_config"),
    ],
)
def test_unknown_key(cfg, tmp_path, key, near):
    with pytest.raises(
        ValueError, match=rf"Unknown config key {key} \(the command line\)"
    ) as error:
        merge_config(cfg, None, [key, "1"])
    assert near in str(error.value)
    path = tmp_path / "config.yaml"
    parts = key.split(".")
    path.write_text(": {".join(parts) + ": 1" + "}" * (len(parts) - 1))
    with pytest.raises(ValueError, match=rf"key {key} \(.*config\.yaml\)\..*{near}"):
        merge_config(cfg, str(path), [])


def test_a_key_of_no_method_is_not_taken_for_one_of_your_own(cfg):
    with pytest.raises(ValueError, match=r"SOLVER\.BASE_LRR") as error:
        merge_config(cfg, None, ["SOLVER.BASE_LRR", "1"])
    assert "your own" not in str(error.value)


def test_option_without_value(cfg):
    with pytest.raises(ValueError, match=r"'SOLVER\.MAX_ITER' is the last of 3"):
        merge_config(cfg, None, ["SEED", "1", "SOLVER.MAX_ITER"])


def test_missing_file(cfg, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.yaml"):
        merge_config(cfg, str(tmp_path / "none.yaml"), [])


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("DATASETS.TRAIN", "name", "but got name. A single value needs .*'(\"name\",)'"),
        ("DATASETS.TRAIN", "(name)", "'(\"name\",)'"),
        ("DATASETS.TEST", "a,b", '\'("a", "b")\''),
        ("SOLVER.STEPS", "100", "SOLVER.STEPS '(100,)' "),
        ("SOLVER.MAX_ITER", "many", "SOLVER.MAX_ITER takes an int, such as 40000, but got many "),
    ],
)
@pytest.mark.parametrize("is_file", [False, True])
def test_a_value_of_another_type(cfg, tmp_path, key, value, words, is_file):
    path = tmp_path / "config.yaml"
    node, name = key.split(".")
    path.write_text(f"{node}: {{{name}: '{value}'}}")
    with pytest.raises(ValueError, match=rf"^{key} takes (a tuple|an int), such as") as error:
        merge_config(cfg, str(path) if is_file else None, [] if is_file else [key, value])
    *before, last = words.split(" .*")
    assert last in str(error.value)
    assert all(part in str(error.value) for part in before)
    assert str(error.value).endswith(f"({path if is_file else 'the command line'})")


def test_a_lazy_config_is_named(cfg, tmp_path):
    with pytest.raises(ValueError, match=r"lazy\.py is a Python LazyConfig.* docs/plug-in\.md"):
        merge_config(cfg, str(tmp_path / "lazy.py"), [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not valid YAML: while parsing"),
        ("", "is no config: expected KEY: VALUE lines"),
        ("[1, 2]", "is no config: expected KEY: VALUE lines"),
        ("text", "is no config: expected KEY: VALUE lines"),
    ],
)
def test_a_file_that_is_no_config(cfg, tmp_path, text, message):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"^{path} {message}") as error:
        merge_config(cfg, str(path), [])
    assert "\n" not in str(error.value)
