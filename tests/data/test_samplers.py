"""Samplers: rates by hand, streams by chi-square, ranks, and what every sampler keeps."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data.samplers import TrainingSampler
from detectron2.utils import comm
from parameter_values import own, values
from torch.utils.data import Sampler

from lt_det.class_stats import ClassStats
from lt_det.config import add_lt_det_config
from lt_det.data.loaders import build_train_loader
from lt_det.data.samplers import (
    TRAIN_SAMPLER_REGISTRY,
    ClassAwareTrainingSampler,
    PictureSampler,
    build_train_sampler,
    image_weights_from_config,
)
from lt_det.data.statistics import class_stats_from_config
from lt_det.registry import hyper_parameters, node_name

SAMPLERS = own(TRAIN_SAMPLER_REGISTRY)
# Parameter -> (another value than the default, values without meaning).
PARAMETERS = {"ClassAwareTrainingSampler": {"power": (0.5, [-0.1, 1.5, math.nan])}}
every_sampler = pytest.mark.parametrize("cls", SAMPLERS, ids=lambda cls: cls.__name__)
WHERE = "PARAMETERS in tests/data/test_samplers.py"

# Class 0 in five images, class 1 in two (one of them shared), class 2 in none; image 3 is empty.
TOY = [[0], [0, 0, 0], [0, 1], [], [0], [1, 1], [0]]


def as_dicts(images):
    return [{"annotations": [{"category_id": c} for c in classes]} for classes in images]


def draw(sampler, count):
    return list(itertools.islice(iter(sampler), count))


def chi_square_p(counts, expected):
    """P-value of Pearson's test; images that are never expected must never be drawn."""
    counts, expected = np.asarray(counts, float), np.asarray(expected, float)
    assert (counts[expected == 0] == 0).all()
    counts, expected = counts[expected > 0], expected[expected > 0]
    statistic = torch.tensor(((counts - expected) ** 2 / expected).sum())
    return torch.special.gammaincc(torch.tensor((len(counts) - 1) / 2).double(), statistic / 2)


@pytest.fixture
def cfg():
    cfg = get_cfg()
    add_lt_det_config(cfg)
    cfg.SEED = 3
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 3
    return cfg


def test_class_rates_by_hand():
    weights = ClassAwareTrainingSampler(as_dicts(TOY), 3, 0).image_weights()
    # Each of the two classes that exist has 1/2; class 0 spreads it over 5 images, class 1 over 2.
    a, b = 1 / 2 / 5, 1 / 2 / 2
    np.testing.assert_allclose(weights, 7 * np.array([a, a, a + b, 0, a, b, a]), rtol=1e-12)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_class_rates_with_a_power(power):
    weights = ClassAwareTrainingSampler(as_dicts(TOY), 3, 0, power=power).image_weights()
    rate = np.array([5.0**power, 2.0**power]) / (5.0**power + 2.0**power)
    a, b = rate[0] / 5, rate[1] / 2
    np.testing.assert_allclose(weights, 7 * np.array([a, a, a + b, 0, a, b, a]), rtol=1e-12)
    assert weights.sum() == pytest.approx(7)


def test_power_one_weighs_images_by_their_number_of_classes():
    weights = ClassAwareTrainingSampler(as_dicts(TOY), 3, 0, power=1.0).image_weights()
    np.testing.assert_allclose(weights, 7 * np.array([1, 1, 2, 0, 1, 1, 1]) / 7, rtol=1e-12)


def test_chi_square_would_notice_a_wrong_rate():
    """That test has power: draws of one rate fail against the weights of another."""
    dicts = as_dicts(TOY)
    drawn = np.bincount(draw(ClassAwareTrainingSampler(dicts, 3, 0), 40_000), minlength=7)
    other = ClassAwareTrainingSampler(dicts, 3, 0, power=0.5).image_weights()
    assert chi_square_p(drawn, other * 40_000 / 7) < 1e-6


def test_crowds_and_absent_classes_are_not_drawn():
    dicts = as_dicts([[0], [1], [2]])
    dicts[1]["annotations"][0]["iscrowd"] = 1
    sampler = ClassAwareTrainingSampler(dicts, 7, 0)
    assert set(draw(sampler, 500)) == {0, 2}
    np.testing.assert_allclose(sampler.image_weights(), [1.5, 0, 1.5])


def test_index_is_as_large_as_the_annotations():
    """LVIS drawn class by class as one list would hold 55 million indices."""
    common = [[0]] * 3000
    sampler = ClassAwareTrainingSampler(as_dicts([*common, *([c] for c in range(1, 500))]), 500, 0)
    held = sum(v.numel() for v in vars(sampler).values() if isinstance(v, torch.Tensor))
    assert held <= 3499 + 3 * 500


# --- what every registered sampler keeps -------------------------------------------------------


@every_sampler
class TestEverySampler:
    def test_is_a_stream_of_indices(self, cls):
        sampler = cls(as_dicts(TOY), 3, 0)
        assert isinstance(sampler, PictureSampler)
        assert set(draw(sampler, 2000)) <= set(range(len(TOY)))

    def test_image_weights(self, cls):
        weights = cls(as_dicts(TOY), 3, 0).image_weights()
        assert isinstance(weights, np.ndarray)
        assert weights.shape == (len(TOY),)
        assert (weights >= 0).all()
        assert weights.sum() == pytest.approx(len(TOY))

    def test_config_node_has_the_keyword_only_parameters(self, cls, cfg):
        node = cfg.DATALOADER[node_name(cls, "TrainingSampler")]
        assert dict(node) == {k.upper(): v for k, v in hyper_parameters(cls).items()}

    def test_is_built_from_the_config(self, cls, cfg):
        cfg.DATALOADER.SAMPLER_TRAIN = cls.__name__
        sampler = build_train_sampler(cfg, as_dicts(TOY), cfg.SEED)
        assert type(sampler) is cls
        assert draw(sampler, 100) == draw(cls(as_dicts(TOY), 3, cfg.SEED), 100)

    def test_every_parameter_changes_the_stream(self, cls, cfg):
        cfg.DATALOADER.SAMPLER_TRAIN = cls.__name__
        default = draw(build_train_sampler(cfg, as_dicts(TOY), cfg.SEED), 2000)
        for name, (value, _) in values(cls, PARAMETERS, WHERE).items():
            other = cfg.clone()
            other.DATALOADER[node_name(cls, "TrainingSampler")][name.upper()] = value
            assert draw(build_train_sampler(other, as_dicts(TOY), other.SEED), 2000) != default, (
                name
            )

    def test_invalid_values_are_named(self, cls):
        for name, (_, invalid) in values(cls, PARAMETERS, WHERE).items():
            for value in invalid:
                with pytest.raises(ValueError, match=f"`{name}`.*{value}"):
                    cls(as_dicts(TOY), 3, 0, **{name: value})

    def settings(self, cls):
        """The defaults, and every parameter alone."""
        others = values(cls, PARAMETERS, WHERE).items()
        return [{}, *({name: value} for name, (value, _) in others)]

    def test_stream_follows_image_weights(self, cls):
        rng = np.random.default_rng(0)
        classes = [(rng.integers(0, 12, rng.integers(0, 4)) ** 2 // 12).tolist() for _ in range(60)]
        count = 40_000
        for hyper in self.settings(cls):
            sampler = cls(as_dicts(classes), 12, 5, **hyper)
            drawn = np.bincount(draw(sampler, count), minlength=60)
            assert chi_square_p(drawn, sampler.image_weights() * count / 60) > 1e-3

    def test_the_names_of_the_classes_do_not_matter(self, cls):
        renamed = [[2 - c for c in classes] for classes in TOY]
        for hyper in self.settings(cls):
            np.testing.assert_allclose(
                cls(as_dicts(renamed), 3, 0, **hyper).image_weights(),
                cls(as_dicts(TOY), 3, 0, **hyper).image_weights(),
                rtol=1e-12,
            )

    def test_crowds_are_not_counted(self, cls):
        dicts = as_dicts(TOY)
        crowd = {"category_id": 1, "iscrowd": 1}
        with_crowd = [{"annotations": [*record["annotations"], crowd]} for record in dicts]
        np.testing.assert_array_equal(
            cls(with_crowd, 3, 0).image_weights(), cls(dicts, 3, 0).image_weights()
        )

    def test_same_seed_same_stream_other_seed_another(self, cls):
        dicts = as_dicts(TOY)
        sampler = cls(dicts, 3, 8)
        first = draw(sampler, 5000)
        torch.rand(3)  # no other source of randomness
        assert first == draw(cls(dicts, 3, 8), 5000)
        assert first != draw(cls(dicts, 3, 9), 5000)
        assert first == draw(sampler, 5000)  # every iterator starts anew

    def test_blocks_do_not_repeat(self, cls):
        block = PictureSampler._BLOCK
        drawn = draw(cls(as_dicts(TOY), 3, 0), 2 * block)
        assert drawn[:block] != drawn[block:]

    def test_ranks_take_turns_in_the_single_stream(self, cls, monkeypatch):
        alone = draw(cls(as_dicts(TOY), 3, 4), 9000)
        shares = []
        for rank in range(2):
            monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
            monkeypatch.setattr(comm, "get_world_size", lambda: 2)
            sampler = cls(as_dicts(TOY), 3, 4)
            monkeypatch.undo()  # a loader's worker process need not know the rank
            shares.append(draw(sampler, 4500))
        assert [i for pair in zip(*shares, strict=True) for i in pair] == alone


@every_sampler
@pytest.mark.parametrize("images", [[], [[]], [[], []]])
def test_no_annotation_is_refused(cls, images):
    with pytest.raises(ValueError, match="at least one annotated image"):
        cls(as_dicts(images), 3, 0)


@every_sampler
@pytest.mark.parametrize("class_id", [-1, 3])
def test_class_outside_the_range_is_refused(cls, class_id):
    with pytest.raises(ValueError, match=rf"\[0, 3\).*{class_id}.*NUM_CLASSES"):
        cls(as_dicts([[0], [class_id]]), 3, 0)


# --- a sampler that states its weights alone -----------------------------------------------------


class WeightsSampler(PictureSampler):
    """Pictures by weights that are given."""

    def __init__(self, weights, seed=0):
        super().__init__(as_dicts([[0]] * len(weights)), 1, seed)
        self.weights = np.array(weights, float)

    def image_weights(self):
        return self.weights


def test_weights_are_all_a_sampler_needs():
    weights = [0.5, 0.0, 3.0, 1.5, 0.0]
    count = 40_000
    drawn = np.bincount(draw(WeightsSampler(weights), count), minlength=5)
    assert chi_square_p(drawn, np.array(weights) * count / 5) > 1e-3
    assert chi_square_p(drawn, np.array([1.5, 0.0, 2.0, 1.5, 0.0]) * count / 5) < 1e-6


@pytest.mark.parametrize("weights", [[], [0.0, 0.0], [math.nan, 1.0]])
def test_no_picture_to_draw_is_refused(weights):
    with pytest.raises(ValueError, match=r"WeightsSampler has no picture to draw.*positive sum"):
        draw(WeightsSampler(weights), 1)


# --- a sampler of somebody else ------------------------------------------------------------------


def test_outside_sampler_gets_its_keys():
    @TRAIN_SAMPLER_REGISTRY.register()
    class EveryOtherTrainingSampler(TrainingSampler):
        def __init__(self, dataset_dicts, num_classes, seed=None, *, offset: int = 0):
            super().__init__(len(dataset_dicts), seed=seed)
            self.offset = offset

    try:
        cfg = get_cfg()
        add_lt_det_config(cfg)
        cfg.DATALOADER.SAMPLER_TRAIN = "EveryOtherTrainingSampler"
        cfg.DATALOADER.EVERY_OTHER.OFFSET = 1
        assert build_train_sampler(cfg, as_dicts(TOY), cfg.SEED).offset == 1
        with pytest.raises(ValueError, match=r"REPEAT_CORRECTED.*EveryOther.*`image_weights\(\)`"):
            image_weights_from_config(cfg, as_dicts(TOY))
    finally:
        TRAIN_SAMPLER_REGISTRY._obj_map.pop("EveryOtherTrainingSampler")


def test_outside_sampler_that_is_no_stream_is_refused():
    @TRAIN_SAMPLER_REGISTRY.register()
    class OnceTrainingSampler(Sampler):
        def __init__(self, dataset_dicts, num_classes, seed=None):
            self.number = len(dataset_dicts)

        def __iter__(self):
            return iter(range(self.number))

    try:
        cfg = get_cfg()
        add_lt_det_config(cfg)
        cfg.DATALOADER.SAMPLER_TRAIN = "OnceTrainingSampler"
        with pytest.raises(ValueError, match=r"SAMPLER_TRAIN 'OnceTraining.*PictureSampler"):
            build_train_sampler(cfg, as_dicts(TOY), cfg.SEED)
    finally:
        TRAIN_SAMPLER_REGISTRY._obj_map.pop("OnceTrainingSampler")


# --- by the config -----------------------------------------------------------------------------


def test_unknown_sampler_lists_what_exists(cfg):
    cfg.DATALOADER.SAMPLER_TRAIN = "ClassAwareSampler"
    expected = "SAMPLER_TRAIN 'ClassAwareSampler'.*ClassAwareTrainingSampler.*RepeatFactorTraining"
    with pytest.raises(ValueError, match=expected):
        build_train_sampler(cfg, as_dicts(TOY), cfg.SEED)


@pytest.mark.parametrize("name", ["TrainingSampler", "RandomSubsetTrainingSampler"])
def test_detectron2s_own_samplers_are_seeded(cfg, name):
    cfg.DATALOADER.SAMPLER_TRAIN = name
    cfg.DATALOADER.RANDOM_SUBSET_RATIO = 0.9  # no default in Detectron2
    a, b, other = (build_train_sampler(cfg, as_dicts(TOY), seed) for seed in (5, 5, 6))
    assert type(a).__name__ == name
    assert draw(a, 50) == draw(b, 50) != draw(other, 50)
    assert image_weights_from_config(cfg, as_dicts(TOY)) is None


@pytest.mark.parametrize("sampler", ["RepeatFactorTrainingSampler", "ClassAwareTrainingSampler"])
def test_repeat_corrected_counts_are_what_training_sees(tiny_cfg, toy_lvis, sampler):
    """Against the class counts of the pictures an ordinary loader really draws."""
    tiny_cfg.DATALOADER.SAMPLER_TRAIN = sampler
    tiny_cfg.DATALOADER.REPEAT_THRESHOLD = 0.5
    tiny_cfg.DATALOADER.REPEAT_CORRECTED = True
    stats = class_stats_from_config(tiny_cfg)

    loader = build_train_loader(tiny_cfg, mapper=lambda record: record)
    draws = 6000
    images, instances = Counter(), Counter()
    for batch in itertools.islice(loader, draws // 2):
        for record in batch:
            classes = [a["category_id"] for a in record["annotations"]]
            instances.update(classes)
            images.update(set(classes))
    share = stats.num_images / draws
    observed = ClassStats(
        5,
        stats.num_images,
        [images[c] * share for c in range(5)],
        [instances[c] * share for c in range(5)],
    )
    np.testing.assert_allclose(stats.image_count, observed.image_count, rtol=0.1)
    np.testing.assert_allclose(stats.instance_count, observed.instance_count, rtol=0.1)
    assert stats.image_count[3] == 0


def test_loader_refuses_another_number_of_classes(tiny_cfg):
    tiny_cfg.MODEL.ROI_HEADS.NUM_CLASSES = 6
    with pytest.raises(ValueError, match=r"NUM_CLASSES is 6.*lt_det_toy_train.*5 classes"):
        build_train_loader(tiny_cfg)


def test_loader_gives_batches_of_the_default_mapper(tiny_cfg):
    tiny_cfg.DATALOADER.SAMPLER_TRAIN = "ClassAwareTrainingSampler"
    batch = next(iter(build_train_loader(tiny_cfg)))
    assert len(batch) == 2
    assert all(len(record["instances"]) for record in batch)
