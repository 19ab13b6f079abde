"""Files of one name are told apart by their content."""

from lt_det.data.splits.shared_files import find_shared_files


def write(folder, **contents):
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [str(folder / name) for name in contents]


def test_one_path_is_one_file_even_at_an_address():
    shared = find_shared_files(["s3://x/a.jpg", "b.jpg"], ["s3://x/a.jpg", "c.jpg"])
    assert shared.identical == ("s3://x/a.jpg",)
    assert shared.same_name == ()


def test_content_decides_between_files_of_one_name(tmp_path):
    train = write(tmp_path / "train", a=b"12345", b=b"12345", c=b"1", d=b"1")
    val = write(tmp_path / "val", a=b"12345", b=b"12346", c=b"123", e=b"1")
    shared = find_shared_files(train, val)
    assert shared.identical == (val[0],)
    assert shared.same_name == (val[1], val[2])


def test_a_name_that_is_in_many_folders(tmp_path):
    train = [path for n in range(5) for path in write(tmp_path / f"t{n}", a=bytes([n]))]
    (val,) = write(tmp_path / "val", a=bytes([3]))
    assert find_shared_files(train, [val]).identical == (val,)
    (other,) = write(tmp_path / "val", a=bytes([9]))
    assert find_shared_files(train, [other]).same_name == (other,)


def test_missing_files_of_one_name_are_not_called_identical(tmp_path):
    shared = find_shared_files([str(tmp_path / "x" / "a")], [str(tmp_path / "y" / "a")])
    assert shared.identical == ()
    assert len(shared.same_name) == 1


def test_a_link_is_the_file_it_leads_to(tmp_path):
    (train,) = write(tmp_path / "train", a=b"1")
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "a").symlink_to(train)
    assert find_shared_files([train], [str(tmp_path / "val" / "a")]).identical
