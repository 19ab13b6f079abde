"""ClassStats against a slow recount and against LVIS's published counts."""

import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from paths import SHARED_DATA

from lt_det.class_stats import ClassStats, check_group_thresholds

SHARED = SHARED_DATA


def random_dicts(num_images=40, num_classes=7, seed=0):
    """Records with empty images, crowds, repeated classes and an absent last class."""
    rng = np.random.default_rng(seed)
    return [
        {
            "annotations": [
                {
                    "category_id": int(rng.integers(num_classes - 1)),
                    "iscrowd": int(rng.random() < 0.2),
                }
                for _ in range(rng.integers(0, 5))
            ]
        }
        for _ in range(num_images)
    ]


def recount(dicts, num_classes, weights):
    """One annotation at a time, with Counters."""
    images, instances, total = Counter(), Counter(), 0.0
    for record, weight in zip(dicts, weights, strict=True):
        classes = [a["category_id"] for a in record["annotations"] if not a["iscrowd"]]
        for class_id in classes:
            instances[class_id] += weight
        for class_id in set(classes):
            images[class_id] += weight
        total += weight if classes else 0
    order = range(num_classes)
    return total, [images[c] for c in order], [instances[c] for c in order]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_from_dicts_equals_a_slow_recount(seed, weighted):
    dicts = random_dicts(seed=seed)
    weights = np.random.default_rng(seed).uniform(0, 4, len(dicts)) if weighted else None
    stats = ClassStats.from_dicts(iter(dicts), 7, weights)
    total, images, instances = recount(dicts, 7, [1] * len(dicts) if weights is None else weights)
    assert stats.num_images == pytest.approx(total, rel=1e-12)
    np.testing.assert_allclose(stats.image_count, images, rtol=1e-12)
    np.testing.assert_allclose(stats.instance_count, instances, rtol=1e-12)
    assert stats.image_count[6] == 0  # the absent class keeps its place


def test_from_dicts_of_nothing():
    for dicts in ([], [{"annotations": []}], [{}]):
        stats = ClassStats.from_dicts(dicts, 3)
        assert stats == ClassStats(3, 0, np.zeros(3), np.zeros(3))


@pytest.mark.parametrize("class_id", [-1, 5])
def test_from_dicts_refuses_a_class_outside_the_range(class_id):
    with pytest.raises(ValueError, match=rf"\[0, 5\).*{class_id}.*NUM_CLASSES"):
        ClassStats.from_dicts([{"annotations": [{"category_id": class_id}]}], 5)


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [1.0, float("nan")], [[1.0, 1.0]]])
def test_from_dicts_refuses_weights_that_do_not_fit(weights):
    with pytest.raises(ValueError, match=r"image_weights.*2 weights"):
        ClassStats.from_dicts([{"annotations": []}] * 2, 3, weights)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, 1, [], []), "num_classes"),
        ((2, 9, [1, 2, 3], [1, 2]), r"`image_count`.*\(2,\).*\(3,\)"),
        ((2, 9, [1, 2], [[1, 2]]), "`instance_count`.*shape"),
        ((2, 9, [1, -2], [1, 2]), "`image_count`.*negative"),
        ((2, 9, [1, 2], [1, np.inf]), "`instance_count`.*finite"),
        ((2, 9, [1, 2], [np.nan, 1]), "`instance_count`.*finite"),
        ((2, 1, [1, 2], [1, 2]), "`num_images`.*2.*1"),
        ((2, np.nan, [1, 2], [1, 2]), "`num_images`.*nan"),
        ((2, np.inf, [1, 2], [1, 2]), "`num_images`.*inf"),
        ((2, -1, [0, 0], [0, 0]), "`num_images`.*-1"),
    ],
)
def test_impossible_counts_are_refused(values, message):
    num_classes, num_images, image_count, instance_count = values
    with pytest.raises(ValueError, match=message):
        ClassStats(num_classes, num_images, np.array(image_count), np.array(instance_count))


def test_is_a_value(class_stats):
    image_count = np.array([1.0, 2.0])
    stats = ClassStats(2, 5, image_count, [3, 4])
    image_count[0] = 99  # the caller's array is not the statistics' own
    assert stats.image_count.tolist() == [1, 2]
    assert stats == ClassStats(2, 5.0, [1, 2], [3, 4])
    assert stats != ClassStats(2, 6, [1, 2], [3, 4])
    assert stats != ClassStats(2, 5, [1, 3], [3, 4])
    assert stats != ClassStats(2, 5, [1, 2], [3, 5])
    assert stats != class_stats
    assert stats != "statistics"
    with pytest.raises(AttributeError):
        stats.num_images = 3


def test_count_by_type(class_stats):
    assert class_stats.count("image") is class_stats.image_count
    assert class_stats.count("instance") is class_stats.instance_count
    with pytest.raises(ValueError, match=r"count_type.*'image', 'instance'.*'images'"):
        class_stats.count("images")


def test_group_thresholds_are_inclusive():
    stats = ClassStats(6, 500, [0, 10, 11, 100, 101, 500], np.zeros(6))
    assert stats.groups().tolist() == [0, 0, 1, 1, 2, 2]
    assert stats.groups((11, 499)).tolist() == [0, 0, 0, 1, 1, 2]


@pytest.mark.parametrize("thresholds", [(10,), (10, 10), (100, 10), (0, 10), (1, 2, 3), ()])
def test_bad_thresholds_name_their_key(thresholds, class_stats):
    with pytest.raises(ValueError, match=r"DATASETS\.GROUP_THRESHOLDS.*10, 100"):
        check_group_thresholds(thresholds)
    with pytest.raises(ValueError, match="GROUP_THRESHOLDS"):
        class_stats.groups(thresholds)


def test_save_and_load_keep_every_bit(tmp_path):
    stats = ClassStats(3, 1 / 3 + 1, [0.1, 1 / 3, 0], [2 / 3, 1e15 + 0.5, 0])
    path = tmp_path / "new folder" / "stats.json"
    stats.save(path)
    assert ClassStats.load(path) == stats
    assert ClassStats.load(str(path)) == stats
    assert [p.name for p in path.parent.iterdir()] == ["stats.json"]  # nothing temporary is left


def test_load_names_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json.*CLASS_STATS_FILE"):
        ClassStats.load(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"num_classes": 2',
        b"[]",
        b"3",
        b"\xff\xfe\x00",
        b"null",
        b'{"num_classes": 2, "num_images": 5, "image_count": [1, 2]}',
        b'{"num_classes": 2, "num_images": 5, "image_count": [1], "instance_count": [1, 2]}',
        b'{"num_classes": 2, "num_images": null, "image_count": [1, 2], "instance_count": [1, 2]}',
        b'{"num_classes": 2, "num_images": NaN, "image_count": [1, 2], "instance_count": [1, 2]}',
        b'{"num_classes": 2, "num_images": 5, "image_count": "ab", "instance_count": [1, 2]}',
    ],
)
def test_load_names_a_broken_file(tmp_path, content):
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.json is not a class statistics file"):
        ClassStats.load(path)


@pytest.mark.parametrize(
    ("file", "groups", "num_classes"),
    [
        ("lvis_v1_train_cat_info.json", [337, 461, 405], 1203),
        ("lvis_v0_5_train_cat_info.json", [454, 461, 315], 1230),
    ],
)
def test_groups_of_lvis(file, groups, num_classes):
    path = SHARED / file
    if not path.is_file():
        pytest.skip(f"{path} is not on this machine")
    categories = sorted(json.loads(path.read_text()), key=lambda c: c["id"])
    stats = ClassStats(
        num_classes=len(categories),
        num_images=100_170,
        image_count=np.array([c["image_count"] for c in categories]),
        instance_count=np.array([c["instance_count"] for c in categories]),
    )
    assert stats.num_classes == num_classes
    assert np.bincount(stats.groups()).tolist() == groups
    assert ["rcf"[g] for g in stats.groups()] == [c["frequency"] for c in categories]


def test_is_pure():
    """Neither the statistics nor the losses pull in Detectron2 or torchvision."""
    code = (
        "import sys, lt_det.class_stats; assert 'torch' not in sys.modules;"
        "import lt_det.losses;"
        "assert not {'detectron2', 'torchvision'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
