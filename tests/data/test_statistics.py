"""Statistics of registered data sets, where they come from, and their cache."""

import json
import logging

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from lt_det.class_stats import ClassStats
from lt_det.data import statistics
from lt_det.data.datasets.lvis import register_lvis_format
from lt_det.data.statistics import class_stats_from_config, compute_class_stats

NO_LISTS = {"neg_category_ids": [], "not_exhaustive_category_ids": []}


@pytest.fixture
def register(tmp_path):
    """Registers a set of one picture for each given list of classes (ids 10, 20, 30)."""
    names = []

    def _register(pictures, name="lt_det_test_statistics", file="set.json"):
        content = {
            "images": [
                {"id": i, "file_name": "a.png", "height": 9, "width": 9, **NO_LISTS}
                for i in range(len(pictures))
            ],
            "categories": [
                {"id": 10 * (c + 1), "name": str(c), "frequency": "f"} for c in range(3)
            ],
            "annotations": [
                {"image_id": i, "category_id": 10 * (c + 1), "bbox": [0, 0, 1, 1]}
                for i, classes in enumerate(pictures)
                for c in classes
            ],
        }
        for number, annotation in enumerate(content["annotations"], start=1):
            annotation["id"] = number
        (tmp_path / file).write_text(json.dumps(content))
        if name not in names:
            names.append(name)
            register_lvis_format(name, tmp_path / file, tmp_path)
        return name

    yield _register
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


@pytest.fixture
def loads(monkeypatch):
    """Counts how often a data set is read."""
    calls = []
    original = statistics.dataset_records

    def counted(*args, **kwargs):
        calls.append(args)
        return original(*args, **kwargs)

    monkeypatch.setattr(statistics, "dataset_records", counted)
    return calls


def cache_files(tmp_path):
    return sorted((tmp_path / "cache" / "class_stats").glob("*"))


def test_counts_of_the_toy_set(toy_lvis):
    stats = compute_class_stats(toy_lvis.train, 5)
    assert stats == ClassStats(5, 7, toy_lvis.image_count, toy_lvis.instance_count)


def test_several_sets_add_up(toy_lvis):
    stats = compute_class_stats([toy_lvis.train, toy_lvis.val], 5)
    twice = 2 * np.array([toy_lvis.image_count, toy_lvis.instance_count])
    assert stats == ClassStats(5, 14, *twice)


def test_second_call_reads_no_data_set(register, loads, tmp_path):
    name = register([[0], [0, 1]])
    first = compute_class_stats(name, 3)
    assert len(loads) == 1
    assert compute_class_stats(name, 3) == first
    assert len(loads) == 1
    assert len(cache_files(tmp_path)) == 1  # $LT_DET_CACHE holds it


def test_cache_is_keyed_by_content(register, loads):
    name = register([[0], [0, 1]])
    assert compute_class_stats(name, 3).instance_count.tolist() == [2, 1, 0]
    register([[0], [0, 2]])  # the same file, name and size
    assert compute_class_stats(name, 3).instance_count.tolist() == [2, 0, 1]
    register([[0], [0, 1]])
    assert compute_class_stats(name, 3).instance_count.tolist() == [2, 1, 0]
    assert len(loads) == 2
    # The same content elsewhere is the same key.
    copy = register([[0], [0, 1]], name="lt_det_test_statistics_copy", file="copy.json")
    compute_class_stats(copy, 3)
    assert len(loads) == 2


@pytest.mark.parametrize("damage", ["", "{", '{"num_classes": 3}'])
def test_damaged_cache_is_counted_again(register, loads, tmp_path, damage, caplog):
    name = register([[0], [0, 1]])
    stats = compute_class_stats(name, 3)
    (path,) = cache_files(tmp_path)
    path.write_text(damage)
    with caplog.at_level(logging.WARNING):
        assert compute_class_stats(name, 3) == stats
    assert str(path) in caplog.text
    assert len(loads) == 2
    assert ClassStats.load(path) == stats  # and repaired


def test_unwritable_cache_only_warns(register, tmp_path, monkeypatch, caplog):
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("LT_DET_CACHE", str(tmp_path / "a file"))
    with caplog.at_level(logging.WARNING):
        assert compute_class_stats(register([[1]]), 3).instance_count.tolist() == [0, 1, 0]
    assert "not cached" in caplog.text


def test_set_without_a_file_is_not_cached(loads, tmp_path):
    name = "lt_det_test_no_file"
    DatasetCatalog.register(
        name,
        lambda: [{"annotations": [{"category_id": 1}], "file_name": "", "height": 1, "width": 1}],
    )
    MetadataCatalog.get(name).thing_classes = ["a", "b"]
    try:
        for _ in range(2):
            assert compute_class_stats(name, 2).image_count.tolist() == [0, 1]
        assert len(loads) == 2
        assert not cache_files(tmp_path)
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


@pytest.mark.parametrize("num_classes", [2, 4])
def test_number_of_classes_is_checked_with_and_without_cache(register, num_classes):
    name = register([[0, 1]])
    for _ in range(2):
        with pytest.raises(
            ValueError, match=rf"NUM_CLASSES is {num_classes}.*{name}.*NUM_CLASSES 3"
        ):
            compute_class_stats(name, num_classes)
        compute_class_stats(name, 3)


@pytest.fixture
def two_names():
    names = ["lt_det_test_first", "lt_det_test_second"]
    for name in names:
        DatasetCatalog.register(name, lambda: [{"annotations": [{"category_id": 0}]}])
    yield names
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


@pytest.mark.parametrize("second", [["a", "b"], ("a", "b"), None])
def test_sets_of_the_same_or_unknown_classes_add_up(two_names, second):
    for name, classes in zip(two_names, (["a", "b"], second), strict=True):
        if classes is not None:
            MetadataCatalog.get(name).thing_classes = classes
    assert compute_class_stats(two_names, 2).instance_count.tolist() == [2, 0]


def test_sets_of_other_classes_do_not_add_up(two_names):
    for name, classes in zip(two_names, (["a", "b"], ["b", "a"]), strict=True):
        MetadataCatalog.get(name).thing_classes = classes
    with pytest.raises(ValueError, match="'lt_det_test_first' and 'lt_det_test_second' have diff"):
        compute_class_stats(two_names, 2)


def test_config_computes_from_the_training_set(tiny_cfg, toy_lvis):
    assert class_stats_from_config(tiny_cfg) == compute_class_stats(toy_lvis.train, 5)


def test_config_reads_a_file(tiny_cfg, tmp_path, loads):
    stats = ClassStats(5, 10, [1, 2, 3, 4, 5], [6, 7, 8, 9, 10])
    stats.save(tmp_path / "stats.json")
    tiny_cfg.DATASETS.CLASS_STATS_FILE = str(tmp_path / "stats.json")
    assert class_stats_from_config(tiny_cfg) == stats
    assert not loads
    tiny_cfg.MODEL.ROI_HEADS.NUM_CLASSES = 6
    with pytest.raises(ValueError, match=r"NUM_CLASSES is 6.*stats\.json.*5 classes"):
        class_stats_from_config(tiny_cfg)


def test_config_names_a_missing_file(tiny_cfg, tmp_path):
    tiny_cfg.DATASETS.CLASS_STATS_FILE = str(tmp_path / "nowhere.json")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        class_stats_from_config(tiny_cfg)


def test_config_leaves_statistics_to_the_checkpoint(tiny_cfg, loads):
    tiny_cfg.DATASETS.CLASS_STATS_FILE = "checkpoint"
    assert class_stats_from_config(tiny_cfg) is None
    tiny_cfg.DATASETS.CLASS_STATS_FILE = ""
    tiny_cfg.DATASETS.TRAIN = ()
    assert class_stats_from_config(tiny_cfg) is None
    assert not loads


def test_repeat_correction_without_a_weighting_sampler_is_the_plain_count(tiny_cfg, toy_lvis):
    tiny_cfg.DATALOADER.REPEAT_CORRECTED = True
    assert class_stats_from_config(tiny_cfg) == compute_class_stats(toy_lvis.train, 5)
    tiny_cfg.MODEL.ROI_HEADS.NUM_CLASSES = 6
    with pytest.raises(ValueError, match="NUM_CLASSES is 6"):
        class_stats_from_config(tiny_cfg)
