"""A file of arrays is whole or it is refused."""

import pickle
import resource

import numpy as np
import pytest

from lt_det.data.cache.column_file import ColumnFile, DamagedError, write_columns

COLUMNS = {
    "a": np.arange(5, dtype=np.int16),
    "empty": np.empty(0),
    "large": np.linspace(0, 1, 7),
    "bytes": np.frombuffer(b"text", dtype=np.uint8),
}


@pytest.fixture
def path(tmp_path):
    write_columns(tmp_path / "new folder" / "file", COLUMNS, {"info": [1, "ä"]}, ["large"])
    return tmp_path / "new folder" / "file"


def assert_equal(columns, expected):
    assert list(columns) == list(expected)
    for name, array in expected.items():
        assert columns[name].dtype == array.dtype
        assert np.array_equal(columns[name], array)


def test_arrays_come_back(path):
    file = ColumnFile(path)
    assert_equal(file.columns, COLUMNS)
    assert file.info == {"info": [1, "ä"]}
    with pytest.raises(ValueError, match="read-only"):
        file.columns["a"][0] = 1
    file.release()
    assert_equal(file.columns, COLUMNS)
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_no_array_at_all(tmp_path):
    write_columns(tmp_path / "file", {})
    assert ColumnFile(tmp_path / "file").columns == {}


def test_a_changed_byte_is_found_wherever_it_is_checked(path):
    """Every byte, one after another; what may pass are the unchecked array and padding."""
    whole = path.read_bytes()
    passed = 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        try:
            file = ColumnFile(path)
        except DamagedError:
            continue
        passed += 1
        file.columns["large"] = COLUMNS["large"]
        assert_equal(file.columns, COLUMNS)
        assert file.info == {"info": [1, "ä"]}
    # 7 numbers, and less than 64 bytes before each of the four arrays.
    assert COLUMNS["large"].nbytes <= passed < COLUMNS["large"].nbytes + 4 * 64


def test_a_file_of_another_length_is_refused(path):
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedError, match="file"):
            ColumnFile(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(DamagedError, match="bytes"):
        ColumnFile(path)


def test_who_has_the_file_open_keeps_it(path):
    before = ColumnFile(path)
    write_columns(path, {"a": np.zeros(5)})
    assert_equal(before.columns, COLUMNS)
    assert ColumnFile(path).columns["a"].dtype == np.float64


def test_a_full_disk_leaves_nothing(tmp_path, path):
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        for target in (path, path.with_name("other")):
            with pytest.raises(OSError, match="too large"):
                write_columns(target, {"a": np.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [p.name for p in path.parent.iterdir()] == ["file"]
    assert path.read_bytes() == before


def test_the_files_are_no_pickles(path):
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(path.read_bytes())
