import json

import pytest
from fake_runs import DIAGNOSTICS

from lt_det.reports.runs.diagnostics_file import read_diagnostics


def test_every_part_is_optional(tmp_path):
    path = tmp_path / "diagnostics.json"
    assert read_diagnostics(path) == {}
    for content in ({}, {"bbox": {}, "segm": DIAGNOSTICS}, {"segm": {"calibration": {"all": {}}}}):
        path.write_text(json.dumps(content))
        assert read_diagnostics(path) == content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], r"the file is \[\], expected an object"),
        ({"segm": 3}, "segm is 3, expected an object"),
        ({"segm": {"confusion": {}}}, r"segm\.confusion is \{\}, expected a list"),
        ({"segm": {"confusion": [{"class": "a"}]}}, r"segm\.confusion lacks \['into', 'count'\]"),
        ({"b": {"calibration": {"all": {"bins": [{}]}}}}, r"b\.calibration\.all\.bins lacks"),
        ({"b": {"error_shares": {"rare": [1]}}}, r"b\.error_shares\.rare is \[1\], expected an"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, message):
    path = tmp_path / "diagnostics.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"diagnostics\.json': .*{message}"):
        read_diagnostics(path)
