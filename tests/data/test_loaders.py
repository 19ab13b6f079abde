"""Batch number n is the same, whatever came before it and however many workers load it."""

import itertools

import numpy as np
import pytest
import torch
from detectron2.data import DatasetMapper
from detectron2.data.samplers import TrainingSampler

from lt_det.data.loaders import build_meta_loader, build_train_loader
from lt_det.data.stream import BatchPlan, Place, ResumableLoader, SeededDataset
from lt_det.utils.seeding import derived_seed, seed_everything, seeded


def noisy(record):
    """A mapper that draws from every generator."""
    return {**record, "noise": (np.random.rand(), torch.rand(()).item())}


def records(number=13):
    return [{"id": i, "width": 1 + i % 2, "height": 1 + (i + 1) % 2} for i in range(number)]


def loader(start=0, num_workers=0, grouped=False, batch_size=3, mapper=noisy, seed=5):
    is_wide = [r["width"] > r["height"] for r in records()] if grouped else None
    plan = BatchPlan(TrainingSampler(13, seed=1), batch_size, is_wide)
    result = ResumableLoader(SeededDataset(records(), mapper, seed), plan, num_workers)
    result.start_batch = start
    return result


def take(source, number):
    return list(itertools.islice(source, number))


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("start", [1, 7])
def test_a_later_start_continues_the_stream(start, num_workers, grouped):
    whole = take(loader(grouped=grouped), 12)
    assert take(loader(start, num_workers, grouped), 12 - start) == whole[start:]


def test_groups_do_not_mix_and_lose_nothing():
    batches = take(loader(grouped=True), 40)
    for batch in batches:
        assert len({r["width"] > r["height"] for r in batch}) == 1
    # Pictures wait for others of their kind, and none is lost: each kind in the stream's order.
    stream = take(TrainingSampler(13, seed=1), 200)
    for wide in (False, True):
        drawn = [r["id"] for b in batches for r in b if (r["width"] > r["height"]) == wide]
        assert drawn == [i for i in stream if (i % 2 == 1) == wide][: len(drawn)]


def test_without_groups_the_stream_is_the_samplers():
    drawn = [r["id"] for batch in take(loader(), 10) for r in batch]
    assert drawn == take(TrainingSampler(13, seed=1), 30)


def test_augmentation_differs_from_visit_to_visit_and_with_the_seed():
    noise = [r["noise"] for batch in take(loader(), 20) for r in batch]
    assert len(set(noise)) == len(noise)
    assert take(loader(seed=6), 2) != take(loader(), 2)


def test_loading_here_leaves_the_random_numbers_as_they_were():
    seed_everything(1)
    expected = np.random.rand(), torch.rand(()).item()
    seed_everything(1)
    take(loader(), 3)
    assert (np.random.rand(), torch.rand(()).item()) == expected


def test_a_record_of_no_use_is_replaced():
    def picky(record):
        return None if record["id"] % 2 else record

    for batch in take(loader(mapper=picky), 8):
        assert all(record["id"] % 2 == 0 for record in batch)
    assert take(loader(mapper=picky), 8) == take(loader(mapper=picky), 8)


def test_a_mapper_that_refuses_all_is_an_error():
    with pytest.raises(RuntimeError, match="None for 10 records"):
        take(loader(mapper=lambda record: None), 1)


@pytest.mark.parametrize("grouped", [False, True])
def test_two_ranks_share_the_batches_of_one(monkeypatch, grouped):
    """Picture by picture and augmentation by augmentation, also of grouped pictures."""
    whole = take(loader(batch_size=4, grouped=grouped), 6)
    shares = []
    for rank in range(2):
        monkeypatch.setattr("detectron2.utils.comm.get_rank", lambda rank=rank: rank)
        monkeypatch.setattr("detectron2.utils.comm.get_world_size", lambda: 2)
        shares.append(take(loader(batch_size=4, grouped=grouped), 6))
    for batch, a, b in zip(whole, *shares, strict=True):
        assert batch == [a[0], b[0], a[1], b[1]]


@pytest.mark.parametrize(
    "name",
    [
        "TrainingSampler",
        "RandomSubsetTrainingSampler",
        "RepeatFactorTrainingSampler",
        "WeightedTrainingSampler",
        "ClassAwareTrainingSampler",
    ],
)
def test_ranks_divide_the_stream_of_every_sampler(tiny_cfg, monkeypatch, name):
    tiny_cfg.DATALOADER.SAMPLER_TRAIN = name
    tiny_cfg.DATALOADER.REPEAT_THRESHOLD = 0.3
    tiny_cfg.DATALOADER.RANDOM_SUBSET_RATIO = 0.7
    monkeypatch.setattr(
        "detectron2.utils.comm.shared_random_seed", lambda: np.random.randint(2**31)
    )
    tiny_cfg.DATASETS.TRAIN_REPEAT_FACTOR = [[tiny_cfg.DATASETS.TRAIN[0], 1.5]]

    def ids(batch):
        return [record["image_id"] for record in batch]

    whole = [ids(batch) for batch in take(build_train_loader(tiny_cfg), 12)]
    shares = []
    for rank in range(2):
        monkeypatch.setattr("detectron2.utils.comm.get_rank", lambda rank=rank: rank)
        monkeypatch.setattr("detectron2.utils.comm.get_world_size", lambda: 2)
        shares.append([ids(batch) for batch in take(build_train_loader(tiny_cfg), 12)])
    assert [a + b for a, b in zip(*shares, strict=True)] == whole
    assert len({i for batch in whole for i in batch}) > 2


def test_batches_must_be_shared_equally(tiny_cfg, monkeypatch):
    monkeypatch.setattr("detectron2.utils.comm.get_world_size", lambda: 3)
    with pytest.raises(ValueError, match=r"IMS_PER_BATCH is 2, which 3 processes"):
        build_train_loader(tiny_cfg)


def test_by_config_pictures_are_those_of_detectron2s_mapper(tiny_cfg):
    tiny_cfg.DATALOADER.ASPECT_RATIO_GROUPING = False
    batch = next(iter(build_train_loader(tiny_cfg)))
    assert len(batch) == tiny_cfg.SOLVER.IMS_PER_BATCH
    source = build_train_loader(tiny_cfg).dataset.records
    mapper = DatasetMapper(tiny_cfg, is_train=True)
    index = next(iter(TrainingSampler(len(source), seed=tiny_cfg.SEED)))
    with seeded(tiny_cfg.SEED, 0):
        expected = mapper(source[index])
    assert batch[0]["image"].equal(expected["image"])
    assert batch[0]["instances"].gt_boxes.tensor.equal(expected["instances"].gt_boxes.tensor)


def test_a_negative_seed_draws_one(tiny_cfg):
    tiny_cfg.SEED = -1
    ids = [
        [r["image_id"] for batch in take(build_train_loader(tiny_cfg), 8) for r in batch]
        for _ in range(2)
    ]
    assert ids[0] != ids[1]


def test_derived_seeds_differ():
    keys = [(a, b) for a in range(20) for b in range(20)] + [(a,) for a in range(20)]
    assert len({derived_seed(*key) for key in keys}) == len(keys)
    assert derived_seed(3, 4) == derived_seed(3, 4)


def test_the_meta_loader_shares_the_records_and_nothing_random(tiny_cfg):
    training = build_train_loader(tiny_cfg)
    meta = build_meta_loader(tiny_cfg, training)
    assert meta.dataset.records is training.dataset.records
    assert meta.dataset.seed != training.dataset.seed == tiny_cfg.SEED
    # Class-balanced: of the 4 classes that have pictures, one is in picture 6 alone, which is one
    # of the six of class 0 too.
    (rare,) = (i for i, r in enumerate(training.dataset.records) if classes_of(r) == {0, 2})
    shown = [record["place"].index for batch in take(meta, 300) for record in batch]
    expected = 1 / 4 + 1 / 4 / 6
    assert abs(shown.count(rare) / len(shown) - expected) < 4 * (expected / len(shown)) ** 0.5


def classes_of(record) -> set[int]:
    return {annotation["category_id"] for annotation in record["annotations"]}


def test_a_reseeded_set_augments_otherwise():
    dataset = SeededDataset(records(), noisy, 5)
    other = dataset.reseeded(6)
    place = Place(0, 3)
    assert dataset[place]["noise"] != other[place]["noise"]
    assert other[place] == SeededDataset(records(), noisy, 6)[place]
