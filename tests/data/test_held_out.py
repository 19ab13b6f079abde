"""Pictures set aside: which ones, and that nothing trains on them."""

import itertools

import pytest
from detectron2.config import get_cfg
from detectron2.data import get_detection_dataset_dicts

from lt_det.class_stats import ClassStats
from lt_det.config import add_lt_det_config
from lt_det.data.held_out import is_drawn, split_held_out
from lt_det.data.loaders import build_train_loader
from lt_det.data.statistics import class_stats_from_config


def records_of(classes):
    return [
        {"image_id": i, "annotations": [{"category_id": c} for c in picture]}
        for i, picture in enumerate(classes)
    ]


@pytest.fixture
def cfg():
    cfg = get_cfg()
    add_lt_det_config(cfg)
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 400
    return cfg


def split(cfg, records, share):
    cfg.DATASETS.HOLDOUT = share
    return split_held_out(cfg, records)


def test_a_share_goes_by_the_pictures_alone(cfg):
    records = records_of([[0]] * 2000)
    kept, held_out = split(cfg, records, 0.2)
    assert sorted(kept + held_out) == list(range(2000))
    assert abs(len(held_out) - 400) < 4 * (2000 * 0.2 * 0.8) ** 0.5
    ids = {records[i]["image_id"] for i in held_out}
    backwards = records[::-1]
    assert {backwards[i]["image_id"] for i in split(cfg, backwards, 0.2)[1]} == ids
    # A smaller share is a part of a larger one.
    assert {records[i]["image_id"] for i in split(cfg, records, 0.1)[1]} < ids


def test_other_draws_of_the_same_pictures_are_independent():
    records = records_of([[0]] * 4000)
    first, second = ({r["image_id"] for r in records if is_drawn(r, 0.25, key)} for key in (2, 3))
    assert abs(len(first & second) - 4000 / 16) < 4 * (4000 / 16) ** 0.5


def test_nothing_is_set_aside_by_default(cfg):
    assert split_held_out(cfg, records_of([[0], [1]])) == ([0, 1], [])


def test_no_class_loses_all_of_its_pictures(cfg):
    # Class 0 everywhere, every other class in one picture of its own or in two.
    records = records_of([[0, 1 + i // 2] for i in range(600)])
    kept, held_out = split(cfg, records, 0.5)
    left = {a["category_id"] for i in kept for a in records[i]["annotations"]}
    assert left == set(range(301))
    # Pairs of which one was drawn are not spared.
    assert len(held_out) > 100
    drawn = {i for i, record in enumerate(records) if is_drawn(record, 0.5, 3)}
    spared = drawn - set(held_out)
    assert spared == {i for i in drawn if i ^ 1 in drawn}


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_shares_without_meaning_are_named(cfg, share):
    with pytest.raises(ValueError, match=rf"DATASETS\.HOLDOUT to be in \[0, 1\), but got {share}"):
        split(cfg, records_of([[0]] * 9), share)


@pytest.mark.parametrize("classes", [[[0]] * 3, [[c] for c in range(300)]])
def test_nothing_on_one_side_is_refused(cfg, classes):
    with pytest.raises(ValueError, match=r"DATASETS\.HOLDOUT 0\.001 of \d+ training pictures"):
        split(cfg, records_of(classes), 0.001)


def test_the_loader_never_shows_them(tiny_cfg):
    tiny_cfg.DATASETS.HOLDOUT = 0.5
    loader = build_train_loader(tiny_cfg, mapper=lambda record: record)
    aside = {record["image_id"] for record in loader.held_out.records}
    shown = {r["image_id"] for batch in itertools.islice(loader, 60) for r in batch}
    assert shown
    assert aside
    assert not shown & aside
    assert len(shown) + len(aside) == 7
    tiny_cfg.DATASETS.HOLDOUT = 0.0
    assert build_train_loader(tiny_cfg).held_out is None


@pytest.mark.parametrize("repeat_corrected", [False, True])
def test_the_class_prior_is_that_of_the_images_that_train(tiny_cfg, repeat_corrected):
    """Not of those that are set aside, which no loss sees."""
    tiny_cfg.DATASETS.HOLDOUT = 0.5
    tiny_cfg.DATALOADER.REPEAT_CORRECTED = repeat_corrected
    records = build_train_loader(tiny_cfg, mapper=lambda record: record).dataset.records
    num_classes = tiny_cfg.MODEL.ROI_HEADS.NUM_CLASSES
    expected = ClassStats.from_dicts(records, num_classes)
    assert class_stats_from_config(tiny_cfg) == expected
    tiny_cfg.DATASETS.HOLDOUT = 0.0
    assert class_stats_from_config(tiny_cfg).num_images > expected.num_images


def test_the_class_prior_is_of_several_data_sets(tiny_cfg, toy_lvis):
    """Two sets, each with images set aside."""
    tiny_cfg.DATASETS.TRAIN, tiny_cfg.DATASETS.HOLDOUT = (toy_lvis.train, toy_lvis.val), 0.5
    stats = class_stats_from_config(tiny_cfg)
    records = get_detection_dataset_dicts(list(tiny_cfg.DATASETS.TRAIN), filter_empty=False)
    kept, held_out = split_held_out(tiny_cfg, records)
    num_classes = tiny_cfg.MODEL.ROI_HEADS.NUM_CLASSES
    assert stats == ClassStats.from_dicts([records[i] for i in kept], num_classes)
    assert held_out
