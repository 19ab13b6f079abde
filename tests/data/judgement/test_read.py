"""Encodings, and which format a file is in."""

import json

import pytest
from toy_lvis import three_images

from lt_det.data.judgement.read import guess_format, read_judged


@pytest.fixture
def content():
    content = three_images().dataset
    content["categories"][0]["name"] = "Schlüssel"
    return content


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_marked_encoding_is_decoded_and_noted(tmp_path, content, encoding):
    path = tmp_path / "set.json"
    path.write_text(json.dumps(content, ensure_ascii=False), encoding=encoding)
    judgement = read_judged(path, "lvis")
    assert judgement.content == content
    (note,) = judgement.notes
    assert note.kind.startswith("file is UTF-")


def test_plain_utf8_has_no_note(tmp_path, content):
    path = tmp_path / "set.json"
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    assert read_judged(path, "lvis").notes == []


def test_another_encoding_is_named(tmp_path, content):
    path = tmp_path / "set.json"
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="latin-1")
    with pytest.raises(ValueError, match=r"set\.json is not UTF-8: .* at byte \d+\. Save it as"):
        read_judged(path, "lvis")


def test_the_lists_of_images_make_the_lvis_format(content):
    assert guess_format(content) == ("lvis", "")
    for image in content["images"]:
        del image["neg_category_ids"]
    data_format, warning = guess_format(content)
    assert data_format == "coco"
    assert "have a frequency, as in the LVIS format" in warning
    for category in content["categories"]:
        del category["frequency"]
    assert guess_format(content) == ("coco", "")


def test_half_of_the_lvis_format_is_read_as_coco_and_refused_as_lvis(tmp_path, content):
    for image in content["images"]:
        del image["neg_category_ids"], image["not_exhaustive_category_ids"]
    path = tmp_path / "set.json"
    path.write_text(json.dumps(content))
    judgement = read_judged(path)
    assert judgement.data_format == "coco"
    assert judgement.faults == []
    assert "it is read as COCO" in judgement.notes[0].kind
    kinds = {fault.kind for fault in read_judged(path, "lvis").faults}
    assert any("give --format coco" in kind for kind in kinds)
