"""Mapped records are the list they were written from, to all that reads them."""

import itertools
import pickle
import random

import numpy as np
import pytest
import torch
from detectron2.data import MapDataset
from detectron2.data.samplers import RepeatFactorTrainingSampler
from record_problems import random_records

from lt_det.class_stats import ClassStats
from lt_det.data.cache.column_file import DamagedError
from lt_det.data.cache.mapped_records import (
    MappedRecords,
    are_mapped,
    counting_records,
    join_records,
    select_records,
)
from lt_det.data.cache.record_columns import write_records
from lt_det.data.class_lists import ClassLists

NUMBER = 40


@pytest.fixture
def records():
    return random_records(random.Random(1), NUMBER)


@pytest.fixture
def mapped(tmp_path, records):
    write_records(tmp_path / "file", records)
    return MappedRecords.open(tmp_path / "file")


def assert_same_sequence(sequence, expected):
    assert are_mapped(sequence)
    assert len(sequence) == len(expected)
    assert repr(list(sequence)) == repr(expected)
    assert list(itertools.chain.from_iterable([sequence, sequence])) == expected + expected
    for index in (0, len(expected) - 1, -1, -len(expected), np.int64(1)):
        assert sequence[index] == expected[index]
    for part in (slice(None), slice(2, 5), slice(None, None, -3), slice(99, None)):
        assert sequence[part] == expected[part]
    for index in (len(expected), -len(expected) - 1):
        with pytest.raises(IndexError):
            sequence[index]


def test_it_is_a_sequence(mapped, records):
    assert_same_sequence(mapped, records)


def test_selected_and_joined_records_are_too(mapped, records):
    rows = [1, 3, 4, 20, 39]
    some = select_records(mapped, rows)
    assert_same_sequence(some, [records[row] for row in rows])
    assert_same_sequence(select_records(some, [0, 4]), [records[1], records[39]])
    assert_same_sequence(join_records([some, mapped]), [records[row] for row in rows] + records)
    assert select_records(mapped, range(NUMBER)) is mapped
    assert join_records([mapped]) is mapped


def test_lists_stay_lists(mapped, records):
    assert select_records(records, [3, 5]) == [records[3], records[5]]
    assert join_records([]) == []
    assert join_records([records, mapped]) == records + records
    assert not are_mapped(join_records([records, mapped]))
    assert counting_records(records) is records


def test_pickled_it_is_a_path(mapped, records):
    for sequence in (mapped, select_records(mapped, [2, 3]), join_records([mapped, mapped])):
        pickled = pickle.dumps(sequence)
        assert len(pickled) < 1000
        assert list(pickle.loads(pickled)) == list(sequence)


def test_lists_are_mapped_where_asked(mapped, records):
    class_of = {c: c + 100 for c in range(6)}
    other = pickle.loads(pickle.dumps(mapped.with_maps({"neg_category_ids": class_of})))
    assert mapped[5] == records[5]
    for record, raw in zip(select_records(other, [3, 5, 9]), (3, 5, 9), strict=True):
        expected = [c + 100 for c in records[raw]["neg_category_ids"]]
        assert record == {**records[raw], "neg_category_ids": expected}


def test_workers_of_a_loader_read_the_file(mapped, records):
    loader = torch.utils.data.DataLoader(
        MapDataset(mapped, lambda record: record), num_workers=2, collate_fn=list, batch_size=3
    )
    assert [record for batch in loader for record in batch] == records


@pytest.mark.parametrize("kind", ["all", "selected", "joined"])
def test_counting_records_count_as_the_dicts(mapped, records, kind):
    """Statistics, class lists and repeat factors: equal, not close."""
    if kind == "selected":
        rows = [0, 2, 3, 17, 30]
        mapped, records = select_records(mapped, rows), [records[row] for row in rows]
    elif kind == "joined":
        mapped, records = join_records([mapped, mapped]), records + records
    counting = counting_records(mapped)
    assert len(counting) == len(records)
    assert ClassStats.from_dicts(counting, 6) == ClassStats.from_dicts(records, 6)
    ours, theirs = ClassLists.from_dicts(counting), ClassLists.from_dicts(records)
    assert np.array_equal(ours.class_ids, theirs.class_ids)
    assert np.array_equal(ours.lengths, theirs.lengths)
    factors = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency
    assert factors(counting, 0.5).equal(factors(records, 0.5))
    for ours, theirs in zip(counting, records, strict=True):
        assert (ours["width"], ours["height"]) == (theirs["width"], theirs["height"])
        kinds = [
            [type(annotation.get("segmentation")) for annotation in record["annotations"]]
            for record in (ours, theirs)
        ]
        assert kinds[0] == kinds[1]


def test_a_damaged_file_is_removed_when_it_is_noticed(tmp_path, mapped):
    path = tmp_path / "file"
    columns = mapped.columns
    checksums = columns.masks._arrays["checksum"]
    place = path.read_bytes().index(checksums.tobytes())
    row = int(np.flatnonzero(np.diff(columns.masks._arrays["first_number"]))[0])
    # The open mapping sees what is written into the file.
    with path.open("r+b") as file:
        file.seek(place + 4 * row)
        file.write(bytes([checksums.tobytes()[4 * row] ^ 1]))
    with pytest.raises(DamagedError, match=r"file: .* It is removed: start again"):
        mapped[row]
    assert not path.exists()
