"""Files are read as `json.load` reads them, whichever parser does it."""

import gc
import json

import pytest

from lt_det.utils.json_file import load_json


@pytest.mark.parametrize(
    "text",
    [
        '{"a": [1, 2.5, -0.0, 1e5, "ä\\u00e4", null, true]}',
        '{"a": 1, "a": 2}',
        "[123456789012345678901234567890, 18446744073709551616, -9223372036854775809]",
        "[0.1, 1e-400, 4.9e-324, 12345678901234567890.5, 179769313486231580e290]",
        "[NaN, Infinity, -Infinity]",
        "[1e999]",
        '["\\ud800"]',
    ],
)
def test_content_is_that_of_json(tmp_path, text):
    path = tmp_path / "file.json"
    path.write_text(text)
    assert repr(load_json(path)) == repr(json.loads(text))
    assert gc.isenabled()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_other_encodings_are_read_too(tmp_path, encoding):
    path = tmp_path / "file.json"
    path.write_text('["ä"]', encoding=encoding)
    assert load_json(path) == ["ä"]


@pytest.mark.parametrize("text", ["", "[1,]", '{"a"', "[1] x", "01"])
def test_what_is_no_json_is_named(tmp_path, text):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"file\.json is not valid JSON"):
        load_json(path)
