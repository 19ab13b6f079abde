"""What a generated set holds: exact masks, counts that are true, honest federated lists."""

import dataclasses
import json
import math
from collections import Counter

import numpy as np
import pytest
from lvis import LVIS
from PIL import Image
from pycocotools import mask as mask_api
from tiny_openmoji import SPEC, annotations_of, families_of

from lt_det.openmoji.writer import generate

# --- masks ---


def test_every_area_and_box_is_its_masks_and_masks_of_a_picture_are_disjoint(
    tiny_set, tiny_contents
):
    for content in tiny_contents.values():
        annotations = annotations_of(content)
        for image in content["images"]:
            with Image.open(tiny_set / image["file_name"]) as picture:
                assert picture.size == (image["width"], image["height"])
            painted = np.zeros((image["height"], image["width"]), dtype=int)
            for annotation in annotations[image["id"]]:
                mask = mask_api.decode(annotation["segmentation"])
                y, x = np.nonzero(mask)
                left, top = x.min(), y.min()
                box = [left, top, x.max() - left + 1, y.max() - top + 1]
                assert annotation["bbox"] == box
                assert annotation["area"] == len(x)
                painted += mask
            assert painted.max(initial=0) <= 1


# --- classes and counts ---


def test_categories_carry_the_counts_of_train_in_every_split(tiny_contents):
    train = tiny_contents["train"]
    instances = Counter(a["category_id"] for a in train["annotations"])
    images = Counter(
        c for _, c in {(a["image_id"], a["category_id"]) for a in train["annotations"]}
    )
    assert [c["id"] for c in train["categories"]] == list(range(1, SPEC.num_classes + 1))
    for category in train["categories"]:
        count = images[category["id"]]
        assert count >= 1
        assert category["image_count"] == count
        assert category["instance_count"] == instances[category["id"]]
        expected = "r" if count <= 10 else "c" if count <= 100 else "f"
        assert category["frequency"] == expected
    assert len({c["name"] for c in train["categories"]}) == SPEC.num_classes
    for content in tiny_contents.values():
        assert content["categories"] == train["categories"]


def test_every_class_is_in_train_even_if_its_rate_is_next_to_nothing(tmp_path):
    spec = dataclasses.replace(SPEC, num_train=3, imbalance_ratio=1e9, num_dev=0, num_val=0)
    root = generate(spec, tmp_path / "set", workers=1, progress=False)
    train = json.loads((root / "train.json").read_text())
    seen = {a["category_id"] for a in train["annotations"]}
    assert seen == set(range(1, spec.num_classes + 1))


def test_each_family_has_one_member_in_each_part_of_the_frequency_range(tiny_contents):
    families = families_of(tiny_contents["train"])
    assert len(families) == SPEC.num_families
    for members in families.values():
        parts = sorted((c - 1) // SPEC.num_families for c in members)
        assert parts == list(range(SPEC.family_size))


@pytest.mark.parametrize("split", ["dev", "val"])
def test_every_rare_class_has_enough_instances_to_be_measured(tiny_contents, split):
    rare = [c["id"] for c in tiny_contents["train"]["categories"] if c["frequency"] == "r"]
    count = Counter(a["category_id"] for a in tiny_contents[split]["annotations"])
    assert rare
    assert min(count[c] for c in rare) >= SPEC.min_rare_instances


# --- federated lists ---


def test_lists_name_real_classes_and_never_contradict_the_annotations(tiny_contents):
    for content in tiny_contents.values():
        annotations = annotations_of(content)
        ids = {c["id"] for c in content["categories"]}
        for image in content["images"]:
            present = {a["category_id"] for a in annotations[image["id"]]}
            negative = image["neg_category_ids"]
            assert len(negative) == len(set(negative))
            assert set(negative) <= ids - present
            assert set(image["not_exhaustive_category_ids"]) <= present


def test_only_part_of_the_absent_classes_is_verified(tiny_contents):
    train = tiny_contents["train"]
    annotations = annotations_of(train)
    ids = {c["id"] for c in train["categories"]}
    verified = [
        c in image["neg_category_ids"]
        for image in train["images"]
        for c in ids - {a["category_id"] for a in annotations[image["id"]]}
    ]
    margin = 3 * math.sqrt(SPEC.verified_negative * (1 - SPEC.verified_negative) / len(verified))
    assert len(verified) > 200
    assert np.mean(verified) == pytest.approx(SPEC.verified_negative, abs=margin)


@pytest.mark.parametrize("split", ["dev", "val"])
def test_an_extra_picture_verifies_one_family_and_nothing_else(tiny_contents, split):
    content = tiny_contents[split]
    annotations = annotations_of(content)
    families = list(families_of(content).values())
    extra = content["images"][getattr(SPEC, f"num_{split}") :]
    assert extra
    for image in extra:
        present = {a["category_id"] for a in annotations[image["id"]]}
        assert present
        assert present | set(image["neg_category_ids"]) in families
        assert image["not_exhaustive_category_ids"] == []


def test_not_exhaustive_classes_miss_exactly_one_annotation(tiny_set, tiny_contents, tmp_path):
    # Same pictures, but every class exhaustive: what is missing must be on the set's lists.
    spec = dataclasses.replace(SPEC, not_exhaustive=0.0)
    other = generate(spec, tmp_path / "set", workers=2, progress=False)
    whole = json.loads((other / "train.json").read_text())
    assert not any(image["not_exhaustive_category_ids"] for image in whole["images"])
    mine, all_of_them = annotations_of(tiny_contents["train"]), annotations_of(whole)
    listed = 0
    for image in tiny_contents["train"]["images"]:
        assert (tiny_set / image["file_name"]).read_bytes() == (
            other / image["file_name"]
        ).read_bytes()
        missing = Counter(a["category_id"] for a in all_of_them[image["id"]])
        missing.subtract(a["category_id"] for a in mine[image["id"]])
        assert +missing == Counter(image["not_exhaustive_category_ids"])
        listed += len(image["not_exhaustive_category_ids"])
    assert listed


def test_ids_are_unique_over_the_splits_and_start_at_one(tiny_contents):
    for key in ("images", "annotations"):
        ids = [entry["id"] for content in tiny_contents.values() for entry in content[key]]
        # The LVIS API takes ground truth 0 for unmatched.
        assert sorted(ids) == list(range(1, len(ids) + 1))


def test_the_official_lvis_class_reads_it(tiny_set, tiny_contents):
    lvis = LVIS(str(tiny_set / "val.json"))
    assert len(lvis.get_img_ids()) == len(tiny_contents["val"]["images"])
    for annotation in lvis.load_anns(lvis.get_ann_ids()):
        assert lvis.ann_to_mask(annotation).sum() == annotation["area"]
