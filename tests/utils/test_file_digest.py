"""The digest is the content's, whatever is remembered of the file."""

import hashlib
import json
import os

import pytest

from lt_det.utils import file_digest as module
from lt_det.utils.file_digest import file_digest


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 1000)
    return path


@pytest.fixture
def reads(monkeypatch):
    """Counts how often a content is read."""
    calls = []

    def counted(*args):
        digest = hashlib.sha256(*args)
        if not args:
            calls.append(1)
        return digest

    monkeypatch.setattr(module, "hashlib", type("H", (), {"sha256": staticmethod(counted)}))
    return calls


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_that_settled_is_read_once(path, reads, monkeypatch):
    for _ in range(2):
        assert file_digest(path) == sha256(path)
    assert len(reads) == 2  # it was written just now
    monkeypatch.setattr(module, "_SETTLED_S", 0)
    for _ in range(3):
        assert file_digest(path) == sha256(path)
    assert len(reads) == 3


def test_a_change_that_keeps_size_and_time_is_noticed(path, monkeypatch):
    monkeypatch.setattr(module, "_SETTLED_S", 0)
    file_digest(path)
    stat = path.stat()
    path.write_bytes(b"abd" * 1000)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    assert file_digest(path) == sha256(path)


def test_another_file_of_the_name_is_noticed(path, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SETTLED_S", 0)
    file_digest(path)
    (tmp_path / "other").write_bytes(b"xyz" * 1000)
    os.replace(tmp_path / "other", path)
    assert file_digest(path) == sha256(path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"state": []}', '{"state": 1, "sha256": 7}'])
def test_a_damaged_memory_is_as_good_as_none(path, tmp_path, monkeypatch, text):
    monkeypatch.setattr(module, "_SETTLED_S", 0)
    file_digest(path)
    (memory,) = (tmp_path / "cache" / "digests").iterdir()
    assert json.loads(memory.read_text())["sha256"] == sha256(path)
    memory.write_text(text)
    assert file_digest(path) == sha256(path)


@pytest.mark.parametrize("folder", ["", "{tmp}/file"])
def test_without_a_cache_the_file_is_read(path, tmp_path, monkeypatch, folder):
    monkeypatch.setenv("LT_DET_CACHE", folder.format(tmp=tmp_path))
    monkeypatch.setattr(module, "_SETTLED_S", 0)
    for _ in range(2):
        assert file_digest(path) == sha256(path)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        file_digest(tmp_path / "nowhere")
