"""A bank's files: whole or absent, checked, tied to what made them."""

import json

import numpy as np
import pytest

from lt_det.bank.folder import BankFolder, StaleBankError


def columns(number: int) -> dict[str, np.ndarray]:
    return {"features": np.full((2, 3), number, np.float16), "gt_classes": np.arange(2) + number}


@pytest.fixture
def folder(tmp_path) -> BankFolder:
    folder = BankFolder(tmp_path / "bank", {"checkpoint": "a", "MODEL.DEPTH": (50,)}, 3)
    folder.begin()
    for number in range(3):
        folder.write(number, columns(number))
    return folder


def test_what_is_written_is_read(folder):
    folder.verify()
    assert folder.missing() == []
    for number in range(3):
        read = folder.read(number)
        assert sorted(read) == ["features", "gt_classes"]
        for name, column in columns(number).items():
            np.testing.assert_array_equal(read[name], column)
            assert read[name].dtype == column.dtype
            assert isinstance(read[name], np.memmap)


def test_a_bank_is_opened_again_by_the_same_identity(folder):
    again = BankFolder(folder.path, {"MODEL.DEPTH": (50,), "checkpoint": "a"}, 3)
    assert again.begin() == []
    again.verify()


@pytest.mark.parametrize(
    ("identity", "num_shards", "message"),
    [
        ({"checkpoint": "b", "MODEL.DEPTH": [50]}, 3, "checkpoint is 'a' there and 'b' here"),
        ({"checkpoint": "a"}, 3, r"MODEL.DEPTH is \[50\] there and '\(absent\)' here"),
        ({"checkpoint": "a", "MODEL.DEPTH": [50]}, 4, "num_shards is 3 there and 4 here"),
    ],
)
def test_a_bank_of_something_else_is_refused(folder, identity, num_shards, message):
    with pytest.raises(StaleBankError, match=message):
        BankFolder(folder.path, identity, num_shards)


def test_an_error_lists_a_few_of_many_differences(folder):
    with pytest.raises(StaleBankError, match="and 3 more"):
        BankFolder(folder.path, {f"key{n}": n for n in range(6)}, 3)


@pytest.mark.parametrize("name", ["features.npy", "gt_classes.npy"])
@pytest.mark.parametrize("position", [3, -1])
def test_one_flipped_bit_is_found_and_named(folder, name, position):
    path = folder.path / "shard_00001" / name
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"shard_00001/{name} is damaged.*remove .*shard_00001"):
        folder.verify()


def test_a_truncated_shard_is_named(folder):
    path = folder.path / "shard_00002" / "features.npy"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(ValueError, match=r"shard_00002/features.npy is damaged"):
        folder.verify()


def test_a_shard_without_checksums_is_named(folder):
    (folder.path / "shard_00000" / "checksums.json").write_text("{")
    with pytest.raises(ValueError, match=r"shard_00000 has no readable checksums.json"):
        folder.verify()


def test_a_shard_of_another_bank_is_refused(folder, tmp_path):
    other = BankFolder(tmp_path / "other", {"checkpoint": "b"}, 3)
    other.begin()
    other.write(1, columns(1))
    target = folder.path / "shard_00001"
    for path in target.iterdir():
        path.unlink()
    target.rmdir()
    (other.path / "shard_00001").rename(target)
    with pytest.raises(ValueError, match="shard_00001 belongs to another bank"):
        folder.verify()


def test_a_removed_shard_is_the_only_one_that_is_missing(folder):
    (folder.path / "shard_00001").rename(folder.path.parent / "elsewhere")
    assert folder.missing() == [1]
    with pytest.raises(ValueError, match="shard_00001"):
        folder.verify()


def test_a_failed_write_leaves_no_shard(tmp_path):
    folder = BankFolder(tmp_path / "bank", {}, 1)
    folder.begin()

    class Broken:
        def __array__(self, *args, **kwargs):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder.write(0, {"good": np.arange(3), "broken": Broken()})
    assert folder.missing() == [0]
    assert [path.name for path in folder.path.iterdir()] == ["manifest.json"]


def test_what_a_killed_writer_left_is_removed(folder):
    (folder.path / ".partial_00001_99").mkdir()
    folder.remove_leftovers()
    assert sorted(path.name for path in folder.path.iterdir())[0] == "manifest.json"


def test_a_bank_goes_on_that_was_killed_while_its_manifest_was_written(tmp_path):
    (tmp_path / "bank").mkdir()
    (tmp_path / "bank" / "manifest.json.partial").write_text('{"check')
    assert BankFolder(tmp_path / "bank", {}, 2).begin() == [0, 1]
    assert [path.name for path in (tmp_path / "bank").iterdir()] == ["manifest.json"]


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(ValueError, match="no feature bank and not empty"):
        BankFolder(tmp_path, {}, 1)
    assert (tmp_path / "photo.jpg").exists()


def test_a_broken_manifest_is_named(folder):
    (folder.path / "manifest.json").write_text('{"checkpoint": ')
    with pytest.raises(ValueError, match=r"manifest.json cannot be read"):
        BankFolder(folder.path, {}, 3)


def test_the_same_bank_has_the_same_bytes(tmp_path):
    def content(path):
        folder = BankFolder(path, {"checkpoint": "a"}, 2)
        folder.begin()
        for number in (1, 0):
            folder.write(number, columns(number))
        files = sorted(p for p in path.rglob("*") if p.is_file())
        return {str(p.relative_to(path)): p.read_bytes() for p in files}

    first = content(tmp_path / "one")
    assert first == content(tmp_path / "two")
    assert json.loads(first["manifest.json"])["num_shards"] == 2
