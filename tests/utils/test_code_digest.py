"""What a digest of code covers, and that nothing stored outlives a change of what made it."""

import ast

import pytest
from paths import ROOT

from lt_det.bank.identity import _EXTRACTION, _OTHER_CODE
from lt_det.data.datasets.record_source import _READERS
from lt_det.utils import code_digest as module
from lt_det.utils.code_digest import code_digest, code_files


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package ``toy`` in place of lt_det; returns a function that writes one of its files."""
    monkeypatch.setattr(module, "_ROOT", tmp_path)
    module._file_of.cache_clear()
    code_digest.cache_clear()

    def write(name: str, text: str) -> None:
        path = tmp_path / "toy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        module._file_of.cache_clear()
        code_digest.cache_clear()

    write("__init__.py", "")
    write("a.py", "import os\nfrom toy.b import thing\n")
    write("b.py", "def thing():\n    from toy.sub import c\n")
    write("sub/__init__.py", "")
    write("sub/c.py", "import toy.d as d, toy.e\n")
    write("d.py", "import toy.a  # a circle\n")
    write("e.py", "")
    write("alone.py", "import toy.a\n")
    yield write
    module._file_of.cache_clear()
    code_digest.cache_clear()


def test_files_are_all_that_is_imported_directly_or_not(package):
    expected = ["toy.a", "toy.b", "toy.d", "toy.e", "toy.sub", "toy.sub.c"]
    assert list(code_files("toy.a")) == expected
    assert list(code_files("toy.e")) == ["toy.e"]


def test_left_out_is_left_out_with_what_it_alone_imports(package):
    assert list(code_files("toy.a", without=("toy.sub",))) == ["toy.a", "toy.b"]
    # A name is no prefix: toy.s is not toy.sub.
    assert "toy.sub.c" in code_files("toy.a", without=("toy.s",))


@pytest.mark.parametrize("name", ["a.py", "b.py", "sub/c.py", "d.py", "e.py"])
def test_a_change_of_any_of_them_changes_the_digest(package, name, tmp_path):
    before = code_digest("toy.a")
    package(name, (tmp_path / "toy" / name).read_text() + "# changed\n")
    assert code_digest("toy.a") != before


def test_a_change_of_another_file_does_not(package):
    before = code_digest("toy.a")
    package("alone.py", "changed = True\n")
    assert code_digest("toy.a") == before


def test_a_new_file_counts_from_the_import_on(package):
    before = code_digest("toy.e")
    package("new.py", "")
    assert code_digest("toy.e") == before
    package("e.py", "from toy import new\n")
    assert list(code_files("toy.e")) == ["toy", "toy.e", "toy.new"]
    assert code_digest("toy.e") != before


def test_an_unknown_module_is_named(package):
    with pytest.raises(ModuleNotFoundError, match=r"toy\.gone"):
        code_files("toy.gone")


def test_every_format_of_records_counts_for_the_record_cache():
    """Each module that makes a RecordSource, found by its source."""
    sources = {
        f"lt_det.data.datasets.{path.stem}"
        for path in (ROOT / "lt_det" / "data" / "datasets").glob("*.py")
        if any(
            isinstance(node, ast.Call) and ast.unparse(node.func) == "RecordSource"
            for node in ast.walk(ast.parse(path.read_text()))
        )
    }
    assert len(sources) == 2
    formats = {f"lt_det.data.datasets.{name}" for name in ("coco", "lvis", "instances")}
    assert sources | formats <= code_files(*_READERS).keys()


def test_a_bank_counts_what_computes_features_and_no_loss():
    files = code_files(*_EXTRACTION, without=_OTHER_CODE)
    assert {
        "lt_det.bank.extraction",
        "lt_det.bank.sampling",
        "lt_det.data.loaders",
        "lt_det.data.datasets.annotation_file",
        "lt_det.modeling.roi_heads",
        "lt_det.modeling.roi_recorder",
        "lt_det.utils.seeding",
    } <= files.keys()
    assert not [name for name in files if name.startswith(_OTHER_CODE)]
    assert "lt_det.compare.rows" not in files
