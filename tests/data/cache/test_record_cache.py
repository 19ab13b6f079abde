"""The cache gives what reading gives, or reading is done again."""

import logging
import multiprocessing
import os
import random
import resource
import time

import pytest
from record_problems import random_records

from lt_det.data.cache.mapped_records import are_mapped
from lt_det.data.cache.record_cache import cached_records

FACTS = {"classes": ["a", "b"]}


class Reader:
    """Records as a function of the file's content; counts how often it is read, in any process."""

    def __init__(self, path, log, seconds=0.0):
        self.path, self.log, self.seconds = path, log, seconds

    def __call__(self):
        with self.log.open("a") as file:
            file.write("read\n")
        time.sleep(self.seconds)
        return random_records(random.Random(self.path.read_text()), 12), FACTS

    @property
    def calls(self):
        return len(self.log.read_text().splitlines())


@pytest.fixture
def reader(tmp_path):
    (tmp_path / "set.json").write_text("content 1")
    return Reader(tmp_path / "set.json", tmp_path / "log")


@pytest.fixture
def load(reader):
    def _load(how=("lvis", "root")):
        records, facts = cached_records(str(reader.path), how, reader)
        assert facts == FACTS
        expected = random_records(random.Random(reader.path.read_text()), 12)
        assert repr(list(records)) == repr(expected)
        return records

    return _load


def cached_files(tmp_path):
    return sorted((tmp_path / "cache" / "records").glob("*.columns"))


def test_the_second_time_nothing_is_read(load, reader, tmp_path):
    for _ in range(3):
        assert are_mapped(load())
    assert reader.calls == 1
    assert len(cached_files(tmp_path)) == 1


def test_the_key_is_content_and_how_it_is_read(load, reader, tmp_path):
    load()
    for how in (("coco", "root"), ("lvis", "elsewhere"), ("lvis", "root", "")):
        load(how)
    assert reader.calls == 4
    stat = reader.path.stat()
    reader.path.write_text("content 2")
    os.utime(reader.path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    load()
    assert reader.calls == 5
    # The first content is known, under another name too.
    (tmp_path / "copy.json").write_text("content 1")
    reader.path = tmp_path / "copy.json"
    load()
    assert reader.calls == 5


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[:-1],
        lambda whole: whole.replace(b"root/7.jpg", b"root/8.jpg"),
    ],
)
def test_a_damaged_file_is_written_anew(load, reader, tmp_path, caplog, damage):
    load()
    (path,) = cached_files(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    with caplog.at_level(logging.WARNING):
        assert are_mapped(load())
    (message,) = (record.getMessage() for record in caplog.records)
    assert f"the cached {path} is damaged" in message
    assert path.read_bytes() == whole
    path.unlink()
    load()
    load()
    assert reader.calls == 3


def test_of_processes_that_start_together_one_reads(reader):
    reader.seconds = 0.3
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()

    def work():
        records, _ = cached_records(str(reader.path), ("lvis",), reader)
        results.put((are_mapped(records), repr(list(records))))

    processes = [context.Process(target=work) for _ in range(4)]
    for process in processes:
        process.start()
    found = {results.get() for _ in processes}
    for process in processes:
        process.join()
    expected = random_records(random.Random("content 1"), 12)
    assert found == {(True, repr(expected))}
    assert reader.calls == 1


def test_a_killed_process_keeps_nobody_waiting(load, reader, tmp_path):
    reader.seconds = 60
    context = multiprocessing.get_context("fork")
    arguments = (str(reader.path), ("lvis", "root"), reader)
    process = context.Process(target=cached_records, args=arguments)
    process.start()
    while not reader.log.exists():
        time.sleep(0.01)
    process.kill()
    process.join()
    reader.seconds = 0
    assert are_mapped(load())


def test_switched_off_nothing_is_written(load, reader, tmp_path, monkeypatch):
    monkeypatch.setenv("LT_DET_CACHE", "")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert not are_mapped(load())
    assert reader.calls == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log", "set.json"]


def test_where_nothing_can_be_written_it_is_said_once(load, reader, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("LT_DET_CACHE", str(reader.path))  # a file, no folder
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert not are_mapped(load())
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"{reader.path} are not cached" in caplog.text


def test_a_full_disk_leaves_no_part_of_a_file(load, tmp_path, caplog):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        assert not are_mapped(load())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "not cached" in caplog.text
    assert {p.suffix for p in (tmp_path / "cache" / "records").iterdir()} == {".lock"}
    assert are_mapped(load())


def test_what_does_not_fit_columns_is_read_each_time(reader, caplog):
    def read():
        reader()
        return [{"annotations": [{"odd": 1}]}], None

    for _ in range(2):
        records, _ = cached_records(str(reader.path), (), read)
        assert records == [{"annotations": [{"odd": 1}]}]
    assert reader.calls == 2
    assert "objects have the keys" in caplog.text


def test_a_file_that_changes_while_it_is_read_is_not_cached(load, reader, tmp_path):
    def read():
        result = reader()
        reader.path.write_text("content 2")
        return result

    records, _ = cached_records(str(reader.path), ("lvis", "root"), read)
    assert repr(records) == repr(random_records(random.Random("content 1"), 12))
    assert not cached_files(tmp_path)
    load()


def test_errors_of_reading_are_the_readers(reader):
    def read():
        raise ValueError("set.json is broken")

    for _ in range(2):
        with pytest.raises(ValueError, match=r"set\.json is broken"):
            cached_records(str(reader.path), (), read)
    reader.path.unlink()
    with pytest.raises(ValueError, match=r"set\.json is broken"):
        cached_records(str(reader.path), (), read)
