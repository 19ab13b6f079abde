"""Comparisons that are refused before anything is done: other settings than before, bad rows."""

import json

import pytest
from toy_comparison import changed

from lt_det.compare.checks import keep_settings
from lt_det.compare.rows import Comparison, Row

pytestmark = pytest.mark.integration


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
