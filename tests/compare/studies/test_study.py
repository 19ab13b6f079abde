"""A study: settings, jobs, the table."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from lt_det.compare.studies.study import Row, Study
from lt_det.compare.studies.study_run import _STUDIES, PRESETS
from lt_det.pages.text import differences_table


def study_values(tmp_path: Path, **changes) -> Path:
    (tmp_path / "stage1.yaml").touch()
    (tmp_path / "control.yaml").touch()
    (tmp_path / "method.yaml").touch()
    values = {
        "data": {"preset": "tiny"},
        "test": ["a_val"],
        "seeds": [1, 2],
        "stage1": {"softmax": "stage1.yaml"},
        "rows": [
            {"name": "control", "config": "control.yaml", "stage1": "softmax"},
            {
                "name": "method",
                "config": "method.yaml",
                "stage1": "softmax",
                "controls": ["control"],
            },
        ],
    } | changes
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_config_paths_are_relative_to_the_study(tmp_path):
    study = Study.load(study_values(tmp_path))
    assert [row.folder for row in study.rows] == ["control", "method"]
    assert study.stage1["softmax"] == str(tmp_path / "stage1.yaml")


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_load(preset):
    study = Study.load(_STUDIES / f"{preset}.yaml")
    assert study.rows or study.compare
    assert all(row.controls for row in study.rows if row.name.startswith("Balanced"))


def test_dev_is_never_reported():
    """Rate and length are chosen on dev, so no study may report it."""
    for preset in PRESETS:
        study = Study.load(_STUDIES / f"{preset}.yaml")
        assert not any(name.endswith("_dev") for name in study.test)
        for chosen_on in (study.select, study.compare):
            assert chosen_on.get("dev", "_dev").endswith("_dev")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": [{"name": "x", "config": "method.yaml", "stage1": "sigmoid"}]}, "'sigmoid'"),
        (
            {
                "rows": [
                    {
                        "name": "x",
                        "config": "method.yaml",
                        "stage1": "softmax",
                        "controls": ["y"],
                    }
                ]
            },
            "unknown controls",
        ),
        ({"unknown_key": 1}, "unknown_key"),
        ({"select": {"base_lr": [0.1]}}, "`select` needs a `bank`"),
        ({"compare": {"stage1": "softmax"}}, "`compare` to have the keys"),
        (
            {"compare": {"stage1": "x", "comparison": "method.yaml", "dev": "a_dev"}},
            "`compare` stage1 'x' is not one of",
        ),
        ({"rows": [{"name": "x"}]}, "config"),
    ],
)
def test_bad_studies_say_what_is_wrong(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        Study.load(study_values(tmp_path, **changes))


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.yaml"):
        Study.load(tmp_path / "nowhere.yaml")
    path = study_values(tmp_path)
    (tmp_path / "method.yaml").unlink()
    with pytest.raises(FileNotFoundError, match=r"method\.yaml"):
        Study.load(path)


def test_row_folder_is_the_config_name():
    assert Row("a name, with spaces", "/x/mask_rcnn_method.yaml", "softmax").folder == (
        "mask_rcnn_method"
    )


def test_intervals_without_zero_are_bold():
    metrics = ("AP", "APr", "APc", "APf")
    zero_inside = {"mean": 1.0, "lo": -0.5, "hi": 2.5}
    zero_outside = {"mean": -1.0, "lo": -1.5, "hi": -0.5}
    row = {"method": "a", "control": "b", **dict.fromkeys(metrics, zero_inside)}
    text = differences_table([row | {"APr": zero_outside}])
    assert "+1.0 [-0.5, +2.5]" in text
    assert "**-1.0 [-1.5, -0.5]**" in text
    assert text.count("**") == 2
    assert np.all([header in text for header in ("method", "minus", *metrics)])
