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
