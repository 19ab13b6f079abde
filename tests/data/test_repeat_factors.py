"""Repeat factors: Detectron2's bit for bit, instance-aware ones and caps by hand, all they feed."""

import itertools
import logging
import math
from collections import defaultdict

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data.samplers import RepeatFactorTrainingSampler

from lt_det.config import add_lt_det_config, check_config
from lt_det.data.loaders import build_batch_plan
from lt_det.data.repeat_factors import repeat_factors
from lt_det.data.samplers import build_train_sampler, image_weights_from_config
from lt_det.data.statistics import class_stats_from_config

# Class 0 in five images, class 1 in two (one of them shared), class 2 in none; image 3 is empty.
TOY = [[0], [0, 0, 0], [0, 1], [], [0], [1, 1], [0]]
THRESHOLD = 0.6


def as_dicts(images):
    return [
        {"width": 2, "height": 1, "annotations": [{"category_id": c} for c in classes]}
        for classes in images
    ]


@pytest.fixture
def cfg():
    cfg = get_cfg()
    add_lt_det_config(cfg)
    cfg.SEED = 3
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 3
    cfg.DATALOADER.SAMPLER_TRAIN = "RepeatFactorTrainingSampler"
    cfg.DATALOADER.REPEAT_THRESHOLD = THRESHOLD
    return cfg


@pytest.mark.parametrize("sqrt", [True, False])
def test_by_default_they_are_detectron2s(cfg, sqrt):
    cfg.DATALOADER.REPEAT_SQRT = sqrt
    dicts = as_dicts(TOY)
    expected = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(
        dicts, THRESHOLD, sqrt=sqrt
    )
    assert repeat_factors(cfg, dicts).equal(expected)
    sampler = build_train_sampler(cfg, dicts, cfg.SEED)
    theirs = RepeatFactorTrainingSampler(expected, seed=3)
    assert list(itertools.islice(sampler, 50)) == list(itertools.islice(theirs, 50))
    np.testing.assert_array_equal(image_weights_from_config(cfg, dicts), expected.double())
    # r = max(1, sqrt(t / f)); class 1 is in 2 of 7 images.
    ratio = THRESHOLD / (2 / 7)
    by_hand = [1, 1, math.sqrt(ratio) if sqrt else ratio, 1, 1, math.sqrt(ratio) if sqrt else ratio]
    np.testing.assert_allclose(expected[:6], by_hand, rtol=1e-6)


@pytest.mark.parametrize("sqrt", [True, False])
def test_instance_aware_by_hand(cfg, sqrt):
    cfg.DATALOADER.REPEAT_FREQUENCY = "image_and_instance"
    cfg.DATALOADER.REPEAT_SQRT = sqrt
    # Class 0: 5 of 7 images and 7 of 10 instances; class 1: 2 of 7 and 3 of 10.
    ratios = [THRESHOLD / math.sqrt(5 / 7 * 7 / 10), THRESHOLD / math.sqrt(2 / 7 * 3 / 10)]
    assert ratios[0] < 1 < ratios[1]
    other = math.sqrt(ratios[1]) if sqrt else ratios[1]
    expected = [1, 1, other, 1, 1, other, 1]
    np.testing.assert_allclose(repeat_factors(cfg, as_dicts(TOY)), expected, rtol=1e-6)


def test_instances_decide_between_classes_of_equal_image_counts(cfg):
    """What image frequency cannot tell apart, and the reason for the method."""
    dicts = as_dicts([[0] * 9, [1], [0] * 9, [1], [2]] + [[2]] * 15)
    by_image = repeat_factors(cfg, dicts)
    assert by_image[0] == by_image[1] > 1
    cfg.DATALOADER.REPEAT_FREQUENCY = "image_and_instance"
    by_both = repeat_factors(cfg, dicts)
    # Factors go with n ** -1/4 of the instances: 2 against 18.
    assert (by_both[1] / by_both[0]).item() == pytest.approx((18 / 2) ** 0.25, rel=1e-6)


def test_one_instance_a_picture_is_detectron2s(cfg):
    """Then both frequencies are one number."""
    cfg.DATALOADER.REPEAT_THRESHOLD = 0.1
    rng = np.random.default_rng(0)
    dicts = as_dicts([[int(c)] for c in rng.geometric(0.4, 200) - 1])
    expected = repeat_factors(cfg, dicts)
    cfg.DATALOADER.REPEAT_FREQUENCY = "image_and_instance"
    torch.testing.assert_close(repeat_factors(cfg, dicts), expected, rtol=1e-6, atol=0)
    assert expected.max() > 3 > 1 == expected.min()


def test_instance_aware_against_a_slow_loop(cfg):
    cfg.DATALOADER.REPEAT_FREQUENCY = "image_and_instance"
    rng = np.random.default_rng(1)
    images = [(rng.geometric(0.3, rng.integers(0, 9)) - 1).tolist() for _ in range(80)]
    instances = [c for classes in images for c in classes]
    expected = []
    for classes in images:
        factor = 1.0
        for c in classes:
            in_images = sum(c in other for other in images) / 80
            share = instances.count(c) / len(instances)
            factor = max(factor, (THRESHOLD / (in_images * share) ** 0.5) ** 0.5)
        expected.append(factor)
    np.testing.assert_allclose(repeat_factors(cfg, as_dicts(images)), expected, rtol=1e-6)


def test_crowds_are_no_instances(cfg):
    cfg.DATALOADER.REPEAT_FREQUENCY = "image_and_instance"
    dicts = as_dicts([[0, 0], [1], [0, 0, 0]])
    for annotation in dicts[2]["annotations"]:
        annotation["iscrowd"] = 1
    # Class 0: 1 of 3 images and 2 of 3 instances; the crowd's picture has no class.
    expected = math.sqrt(THRESHOLD / math.sqrt(1 / 3 * 2 / 3)), 1.0
    factors = repeat_factors(cfg, dicts)
    np.testing.assert_allclose(factors[[0, 2]], expected, rtol=1e-6)


@pytest.mark.parametrize("frequency", ["image", "image_and_instance"])
def test_pictures_without_objects_are_shown_once(cfg, frequency):
    cfg.DATALOADER.REPEAT_FREQUENCY = frequency
    assert repeat_factors(cfg, as_dicts([[], []])).tolist() == [1, 1]


@pytest.mark.parametrize("frequency", ["image", "image_and_instance"])
def test_a_cap_cuts_what_is_above_it_alone(cfg, frequency):
    cfg.DATALOADER.REPEAT_FREQUENCY = frequency
    dicts = as_dicts([[0]] * 300 + [[1]] * 20 + [[2]])
    whole = repeat_factors(cfg, dicts)
    assert whole[0] == 1 < whole[300] < 6 < whole[320]
    cfg.DATALOADER.REPEAT_CAP = 6.0
    capped = repeat_factors(cfg, dicts)
    assert capped[:320].equal(whole[:320])
    assert capped[320] == 6
    cfg.DATALOADER.REPEAT_CAP = 1.0
    assert repeat_factors(cfg, dicts).unique().tolist() == [1]


def test_one_log_line_sums_them_up(cfg, caplog):
    cfg.DATALOADER.REPEAT_FREQUENCY = "image_and_instance"
    with caplog.at_level(logging.INFO):
        repeat_factors(cfg, as_dicts(TOY))
    (message,) = caplog.messages  # Detectron2 logs each class: 1,203 lines on LVIS
    factor = math.sqrt(THRESHOLD / math.sqrt(2 / 7 * 3 / 10))
    mean = (5 + 2 * factor) / 7
    assert f"28.6 % of 7 pictures are repeated, factors up to {factor:.2f}" in message
    assert f"has {mean:.2f} times" in message


@pytest.mark.parametrize(
    ("key", "value"), [("REPEAT_FREQUENCY", "instance"), ("REPEAT_CAP", 0.5), ("REPEAT_CAP", -1.0)]
)
def test_values_without_meaning_are_named(cfg, key, value):
    cfg.DATALOADER[key] = value
    with pytest.raises(ValueError, match=rf"DATALOADER\.{key}.*{value}"):
        check_config(cfg)
    with pytest.raises(ValueError, match=rf"DATALOADER\.{key}.*{value}"):
        repeat_factors(cfg, as_dicts(TOY))


# --- what they feed ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frequency", "cap"), [("image", 0.0), ("image_and_instance", 0.0), ("image_and_instance", 1.2)]
)
def test_the_meta_sampler_starts_from_them(cfg, frequency, cap):
    """At phi = 0 a picture's probability is in proportion to its repeat factor."""
    cfg.DATALOADER.REPEAT_FREQUENCY, cfg.DATALOADER.REPEAT_CAP = frequency, cap
    cfg.SOLVER.META.NAME = "MetaSampler"
    dicts = as_dicts([classes for classes in TOY if classes])
    plan = build_batch_plan(cfg, dicts, seed=0)
    factors = repeat_factors(cfg, dicts).double()
    log_probs = plan.images.log_probs(plan.phi(0), torch.arange(len(dicts)))
    torch.testing.assert_close(log_probs.exp(), factors / factors.sum(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("cap", [0.0, 1.3])
@pytest.mark.parametrize("frequency", ["image", "image_and_instance"])
def test_repeat_corrected_counts_by_hand(tiny_cfg, toy_lvis, frequency, cap):
    tiny_cfg.DATALOADER.SAMPLER_TRAIN = "RepeatFactorTrainingSampler"
    tiny_cfg.DATALOADER.REPEAT_THRESHOLD = 0.5
    tiny_cfg.DATALOADER.REPEAT_FREQUENCY, tiny_cfg.DATALOADER.REPEAT_CAP = frequency, cap
    tiny_cfg.DATALOADER.REPEAT_CORRECTED = True
    stats = class_stats_from_config(tiny_cfg)
    # Seven pictures are left without the empty one. Classes of each:
    pictures = [[0], [0, 0], [0, 1], [0, 0, 1], [0, 4, 4], [0, 2], [1]]
    frequencies = {c: n / 7 for c, n in enumerate(toy_lvis.image_count) if n}
    if frequency == "image_and_instance":
        shares = [n / sum(toy_lvis.instance_count) for n in toy_lvis.instance_count]
        frequencies = {c: math.sqrt(f * shares[c]) for c, f in frequencies.items()}
    images, instances, total = defaultdict(float), defaultdict(float), 0.0
    for classes in pictures:
        factor = max(max(1.0, math.sqrt(0.5 / frequencies[c])) for c in classes)
        factor = min(factor, cap or math.inf)
        total += factor
        for c in set(classes):
            images[c] += factor
        for c in classes:
            instances[c] += factor
    assert stats.num_images == pytest.approx(total, rel=1e-6)
    np.testing.assert_allclose(stats.image_count, [images[c] for c in range(5)], rtol=1e-6)
    np.testing.assert_allclose(stats.instance_count, [instances[c] for c in range(5)], rtol=1e-6)
