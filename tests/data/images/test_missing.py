"""Where a missing image may be."""

import unicodedata

import pytest

from lt_det.data.images.missing import MissingImageHints


@pytest.fixture
def root(tmp_path):
    """Writes empty files below an image folder."""
    folder = tmp_path / "images"

    def _write(*names):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"")
        return str(folder)

    return _write


def test_backslashes(root):
    hint = MissingImageHints(root("val/a.jpg")).hint("val\\a.jpg")
    assert hint == "file_name has backslashes: the file is val/a.jpg"


@pytest.mark.parametrize("name", ["a.JPG", "A.jpg"])
def test_another_case(root, name):
    hint = MissingImageHints(root("a.jpg")).hint(name)
    assert hint == "file_name has another case: the file is a.jpg"


@pytest.mark.parametrize(("on_disk", "given"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_unicode_twin(root, on_disk, given):
    there = unicodedata.normalize(on_disk, "Café.jpg")
    hint = MissingImageHints(root(there)).hint(unicodedata.normalize(given, "Café.jpg"))
    assert hint == f"file_name has another Unicode form (NFC, NFD): the file is {there}"


def test_another_folder_below_or_beside_the_image_folder(root, tmp_path):
    hints = MissingImageHints(root("deep/er/a.jpg"))
    assert hints.hint("val/a.jpg") == f"a file of this name is {tmp_path}/images/deep/er/a.jpg"
    (tmp_path / "val2017").mkdir()
    (tmp_path / "val2017" / "b.jpg").write_bytes(b"")
    assert hints.hint("b.jpg") == f"a file of this name is {tmp_path}/val2017/b.jpg"


def test_two_files_of_the_name_give_no_hint(root):
    assert MissingImageHints(root("x/a.jpg", "y/a.jpg")).hint("a.jpg") == ""
    assert MissingImageHints(root("a.JPG", "A.jpg")).hint("a.jpg") == ""


def test_no_file_gives_no_hint(root, tmp_path):
    assert MissingImageHints(root("a.jpg")).hint("b.jpg") == ""
    assert MissingImageHints("openmoji://nowhere").hint("b.jpg") == ""
    assert MissingImageHints(str(tmp_path / "gone")).hint("b.jpg") == ""


def test_only_the_first_hundred_are_looked_for(root):
    hints = MissingImageHints(root("a.JPG"))
    assert all(hints.hint("a.jpg") for _ in range(100))
    assert hints.hint("a.jpg") == ""
