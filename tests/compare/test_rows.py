"""A comparison's file: rows, samplings, bases, controls, and what is said about a bad one."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from detectron2.layers import ShapeSpec
from paths import ROOT

from lt_det.compare.rows import STAGE1, Comparison, Row
from lt_det.compare.settings import check_keys, with_settings
from lt_det.config import check_config
from lt_det.engine.freeze import freeze_parameters
from lt_det.modeling.box_predictor import LTFastRCNNOutputLayers

SHIPPED = sorted(
    path.relative_to(ROOT).as_posix() for path in ROOT.glob("configs/**/comparisons/*")
)
SAMPLER = "DATALOADER.SAMPLER_TRAIN"


@pytest.fixture
def write(tmp_path) -> Callable[..., Path]:
    """Writes a small comparison, some of its keys replaced or (None) removed."""

    def _write(name: str = "comparison.yaml", **changes) -> Path:
        values = {
            "seeds": [1, 2],
            "settings": {"EPOCHS": 4, "SOLVER.WEIGHT_DECAY": 0.1},
            "grid": {"SOLVER.BASE_LR": [0.1, 0.4]},
            "controls": ["control"],
            "samplings": {"aware": {SAMPLER: "ClassAwareTrainingSampler"}},
            "rows": [
                {"name": "control", "samplings": ["", "aware"]},
                {"name": "loss", "settings": {"A": 1, "EPOCHS": 8}, "grid": {"B": [0, 1, 2]}},
                {"name": "post-hoc", "after": "stage 1", "grid": {"TAU": [0.5]}},
                {"name": "post-hoc of loss", "after": "loss", "controls": ["loss", "stage 1"]},
            ],
        } | changes
        path = tmp_path / name
        path.write_text(yaml.safe_dump({k: v for k, v in values.items() if v is not None}))
        return path

    return _write


def rows(path: Path) -> dict[str, Row]:
    return {row.name: row for row in Comparison.load(path).rows}


def test_a_sampling_makes_a_row(write):
    found = rows(write())
    assert list(found) == ["control", "control, aware", "loss", "post-hoc", "post-hoc of loss"]
    common = {"EPOCHS": 4, "SOLVER.WEIGHT_DECAY": 0.1}
    assert found["control"].settings == common
    assert found["control, aware"].settings == {**common, SAMPLER: "ClassAwareTrainingSampler"}
    assert found["control, aware"].folder == "control_aware"


def test_a_row_adds_to_settings_and_grid_of_all(write):
    row = rows(write())["loss"]
    assert row.settings == {"EPOCHS": 8, "SOLVER.WEIGHT_DECAY": 0.1, "A": 1}
    assert row.is_trained
    assert row.trials() == [
        {"SOLVER.BASE_LR": rate, "B": b} for rate in (0.1, 0.4) for b in (0, 1, 2)
    ]


def test_a_post_hoc_row_has_its_own_settings_alone(write):
    found = rows(write())
    assert (found["post-hoc"].settings, found["post-hoc"].trials()) == ({}, [{"TAU": 0.5}])
    assert not found["post-hoc"].is_trained
    assert found["post-hoc of loss"].trials() == [{}]
    assert [found[n].after for n in ("post-hoc", "post-hoc of loss")] == [STAGE1, "loss"]


def test_nothing_is_its_own_control(write):
    found = rows(write(controls=["control", "control, aware"]))
    assert found["control"].controls == ["control, aware"]
    assert found["control, aware"].controls == ["control"]
    assert found["loss"].controls == ["control", "control, aware"]
    assert found["post-hoc of loss"].controls == ["loss", "stage 1"]


def test_a_base_is_replaced_but_for_its_settings(write, tmp_path):
    write("base.yaml")
    (tmp_path / "below").mkdir()
    path = tmp_path / "below" / "own.yaml"
    path.write_text("_BASE_: ../base.yaml\nseeds: [7]\nsettings: {EPOCHS: 2}\ngrid: {}\n")
    comparison = Comparison.load(path)
    assert comparison.seeds == [7]
    control, *_ = comparison.rows
    assert control.settings == {"EPOCHS": 2, "SOLVER.WEIGHT_DECAY": 0.1}
    assert control.trials() == [{}]


def test_overrides_are_for_rows_by_name(write):
    found = rows(write(overrides={"control*": {"EPOCHS": 1}, "*aware": {"A": 2}}))
    assert found["control"].settings == {"EPOCHS": 1, "SOLVER.WEIGHT_DECAY": 0.1}
    assert (found["control, aware"].settings["EPOCHS"], found["control, aware"].settings["A"]) == (
        1,
        2,
    )
    assert found["loss"].settings["EPOCHS"] == 8
    with pytest.raises(ValueError, match="overrides 'loss' has no settings, but 3"):
        rows(write(overrides={"loss": 3}))


def test_only_keeps_rows_with_what_they_need(write):
    assert list(rows(write(only=["*of loss"]))) == ["control", "loss", "post-hoc of loss"]
    assert list(rows(write(only=["control*"]))) == ["control", "control, aware"]
    assert [row.name for row in Comparison.load(write()).select(["post-hoc"]).rows] == [
        "control",
        "post-hoc",
    ]


def test_names_in_any_script(write):
    row = {"name": "τ-norm"}
    path = write(rows=[row], controls=[])
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()), allow_unicode=True), "utf-8")
    assert list(rows(path)) == ["τ-norm"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": [1]}, r"unknown keys \['seed'\]"),
        ({"rows": None}, r"missing keys \['rows'\]"),
        ({"rows": []}, "it has no rows"),
        ({"seeds": []}, "it has no seeds"),
        ({"seeds": 3}, "expected seeds to be a list, got 3"),
        ({"seeds": [1, 1]}, r"seeds are not unique: \[1, 1\]"),
        ({"seeds": ["a"]}, r"expected seeds to be numbers from 0, but got \['a'\]"),
        ({"settings": [1]}, "expected settings to be a mapping"),
        ({"only": ["nothing*"]}, r"'nothing\*' matches none of"),
        ({"rows": ["name"]}, "row 'name' is no mapping"),
        ({"rows": [{"settings": {}}]}, "row .* has no name"),
        ({"rows": [{"name": "x", "setting": {}}]}, r"row 'x': unknown keys \['setting'\]"),
        ({"rows": [{"name": "x", "controls": "y"}]}, "row 'x': expected controls to be a list"),
        ({"rows": [{"name": "x", "controls": ["y"]}]}, r"row 'x': unknown controls \['y'\]"),
        ({"rows": [{"name": "x", "samplings": ["y"]}]}, "row 'x': unknown sampling 'y'"),
        ({"rows": [{"name": "x", "grid": {"A": 0.1}}]}, "row 'x': expected grid A to be a list"),
        ({"rows": [{"name": "x", "grid": {"A": []}}]}, r"A to be a list of values, but got \[\]"),
        ({"rows": [{"name": "x", "after": "y"}], "controls": []}, "`after` 'y' is no trained row"),
        ({"rows": [{"name": "x!"}, {"name": "x?"}], "controls": []}, "names are not unique"),
        ({"rows": [{"name": "stage 1"}], "controls": []}, "row name 'stage 1': stage 1"),
        ({"rows": [{"name": "τ"}], "controls": []}, "row name 'τ' has no letter or digit"),
    ],
)
def test_what_is_no_comparison_is_refused_by_name(write, changes, message):
    path = write(**changes)
    with pytest.raises(ValueError, match=f"comparison.yaml is not a comparison: .*{message}"):
        Comparison.load(path)


def test_a_post_hoc_row_cannot_start_from_another(write):
    given = [{"name": "a", "after": "stage 1"}, {"name": "b", "after": "a"}]
    with pytest.raises(ValueError, match="row 'b': `after` 'a' is no trained row"):
        Comparison.load(write(rows=given, controls=[]))


@pytest.mark.parametrize("text", ["rows: [", "just text", ""])
def test_a_broken_file_is_named(tmp_path, text):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"broken\.yaml is not a comparison"):
        Comparison.load(path)


def test_a_missing_file_or_base_is_named(tmp_path, write):
    with pytest.raises(FileNotFoundError, match=r"not found: .*nothing\.yaml"):
        Comparison.load(tmp_path / "nothing.yaml")
    with pytest.raises(FileNotFoundError, match=r"not found: .*gone\.yaml"):
        Comparison.load(write(_BASE_="gone.yaml"))


# --- the files of configs/ ---------------------------------------------------------------------


def predictor_of(cfg) -> torch.nn.ModuleDict:
    """The box predictor as it is named in a detector, on no device."""
    with torch.device("meta"):
        predictor = LTFastRCNNOutputLayers(cfg, ShapeSpec(channels=cfg.MODEL.ROI_BOX_HEAD.FC_DIM))
    return torch.nn.ModuleDict({"box_predictor": predictor})


@pytest.mark.parametrize("name", SHIPPED)
def test_every_row_builds_what_it_says(name, tiny_cfg):
    tiny_cfg.DATASETS.HOLDOUT = 0.1  # FASA's
    for row in Comparison.load(ROOT / name).rows:
        check_keys({**row.settings, **row.grid})
        for settings in row.trials():
            cfg = with_settings(tiny_cfg, {**row.settings, **settings}, num_pictures=100)
            check_config(cfg)
        model = predictor_of(cfg)
        predictor = model["box_predictor"]
        head = cfg.MODEL.ROI_BOX_HEAD
        assert type(predictor.cls_loss).__name__ == head.CLS_LOSS.NAME
        assert type(predictor.cls_score).__name__ == head.CLASSIFIER.NAME
        calibration = type(predictor.calibration).__name__ if predictor.calibration else ""
        assert calibration == cfg.TEST.CALIBRATION.NAME
        assert (calibration == "") == row.is_trained
        if row.is_trained:
            freeze_parameters(model, cfg.SOLVER.TRAINABLE_PARAMS)
            trained = [n for n, p in model.named_parameters() if p.requires_grad]
            assert trained
            assert all("cls_score" in n for n in trained)


def test_all_rows_of_a_comparison_have_controls_but_the_control():
    assert SHIPPED
    for name in SHIPPED:
        for row in Comparison.load(ROOT / name).rows:
            assert row.controls, (name, row.name)
