"""Records come back as they were written: by `repr`, which sees types and the order of keys."""

import copy
import random

import pytest
from detectron2.structures import BoxMode
from record_problems import random_records

from lt_det.data.cache.column_file import DamagedError
from lt_det.data.cache.record_columns import RecordColumns, write_records
from lt_det.data.cache.value_columns import NotRepresentableError

OBJECT = {"bbox": [1, 2.5, 3.0, 4], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 2}


def written(tmp_path, records, info=None):
    write_records(tmp_path / "file", records, info)
    return RecordColumns(tmp_path / "file")


@pytest.mark.parametrize("seed", range(25))
def test_records_come_back(tmp_path, seed):
    records = random_records(random.Random(seed), number=seed)
    before = copy.deepcopy(records)
    columns = written(tmp_path, records, {"classes": ["a"]})
    assert records == before
    assert columns.num == len(records)
    assert columns.info == {"classes": ["a"]}
    for row in reversed(range(columns.num)):
        assert repr(columns.record(row)) == repr(records[row])


def test_each_time_it_is_a_new_record(tmp_path):
    columns = written(tmp_path, [{"annotations": [{**OBJECT, "segmentation": [[1.0] * 6]}]}])
    first, second = columns.record(0), columns.record(0)
    first["annotations"][0]["segmentation"][0][0] = 7
    first["annotations"][0]["bbox"][0] = 7
    assert second == columns.record(0) != first


def test_every_record_is_read_after_pages_are_given_back(tmp_path, monkeypatch):
    monkeypatch.setattr("lt_det.data.cache.record_columns._RELEASE_EVERY", 3)
    records = random_records(random.Random(0), number=10)
    columns = written(tmp_path, records)
    assert [columns.record(i) for i in range(10)] == records


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"bbox_mode": 1},
        {"bbox_mode": BoxMode.XYXY_ABS},
        {"bbox": (1, 2, 3, 4)},
        {"bbox": [1, 2, 3]},
        {"bbox": [1, 2, 3, "4"]},
        {"bbox": [1, 2, 3, True]},
        {"segmentation": [(1, 2, 3, 4, 5, 6)]},
        {"segmentation": [[1, 2, 3, 4, 5, None]]},
        {"segmentation": {"counts": {1, 2}}},
        {"iscrowd": [0]},
        {"category_id": b"2"},
    ],
)
def test_what_would_come_back_otherwise_is_refused(tmp_path, change):
    with pytest.raises(NotRepresentableError):
        write_records(tmp_path / "file", [{"annotations": [OBJECT, {**OBJECT, **change}]}])
    assert not (tmp_path / "file").exists()


def test_another_order_of_keys_is_refused(tmp_path):
    for records in ([{"a": 1, "b": 2}, {"b": 2, "a": 1}], [{"a": 1}, {}]):
        with pytest.raises(NotRepresentableError):
            write_records(tmp_path / "file", records)
    swapped = dict(reversed(OBJECT.items()))
    with pytest.raises(NotRepresentableError):
        write_records(tmp_path / "file", [{"annotations": [swapped]}])


def test_changed_polygons_are_noticed_where_they_are_read(tmp_path):
    records = [{"annotations": [{**OBJECT, "segmentation": [[n + 0.5] * 6]}]} for n in range(9)]
    written(tmp_path, records)
    path = tmp_path / "file"
    whole = path.read_bytes()
    place = whole.index((450).to_bytes(4, "little"))  # 4.5, as hundredths
    path.write_bytes(whole[:place] + b"\0" + whole[place + 1 :])
    columns = RecordColumns(path)
    assert [columns.record(i) for i in range(4)] == records[:4]
    with pytest.raises(DamagedError, match="picture number 4"):
        columns.record(4)
    assert columns.record(5) == records[5]
