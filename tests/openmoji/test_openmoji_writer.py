"""What is written is what was composed, is measurable in full, and survives a bad end."""

import copy
import dataclasses
import json
import os
import shutil
import signal
from collections import Counter
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest
import tiny_openmoji
from lvis import LVIS, LVISEval
from PIL import Image
from pycocotools import mask as mask_api

import lt_det.evaluation.official.lvis_api  # noqa: F401  (makes LVISEval run with today's NumPy)
from lt_det.class_stats import ClassStats
from lt_det.data.datasets.lvis import load_lvis_format
from lt_det.openmoji import picture as openmoji_picture
from lt_det.openmoji import plan as openmoji_plan
from lt_det.openmoji import writer as openmoji_writer
from lt_det.openmoji.scenes import compose
from lt_det.openmoji.spec import SPLITS
from lt_det.openmoji.writer import generate

SPEC = dataclasses.replace(tiny_openmoji.SPEC, num_train=60)
SEED = 3


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("openmoji") / "set"
    return generate(SPEC, folder, seed=SEED, workers=2, progress=False)


@pytest.fixture(scope="module")
def contents(root):
    return {split: json.loads((root / f"{split}.json").read_text()) for split in SPLITS}


def plan(contents) -> list[openmoji_plan.Picture]:
    """Every picture of the set, drawn again; the extra ones from what the files say."""
    pictures = openmoji_plan.draw_train(SPEC, SEED)
    train = contents["train"]["categories"]
    rare = np.array([c["id"] - 1 for c in train if c["frequency"] == "r"])
    for split in ("dev", "val"):
        ordinary = openmoji_plan.draw_ordinary(SPEC, split, getattr(SPEC, f"num_{split}"), SEED)
        ids = {image["id"] for image in contents[split]["images"][: len(ordinary)]}
        annotations = contents[split]["annotations"]
        made = [
            (None, [{"category": a["category_id"] - 1} for a in annotations if a["image_id"] == i])
            for i in sorted(ids)
        ]
        pictures += ordinary + openmoji_plan.draw_extra(SPEC, split, made, rare, SEED)
    uniform = np.full(SPEC.num_classes, 1 / SPEC.num_classes)
    number = SPEC.num_val_uniform
    return pictures + openmoji_plan.draw_ordinary(SPEC, "val_uniform", number, SEED, uniform)


def picture_of(root, image) -> np.ndarray:
    with Image.open(root / image["file_name"]) as picture:
        return np.asarray(picture)


def test_pictures_and_masks_are_those_of_compose(root, contents):
    catalogue = openmoji_plan.Catalogue(SPEC, SEED)
    images = [(s, image) for s, content in contents.items() for image in content["images"]]
    pictures = plan(contents)
    assert [image["file_name"] for _, image in images] == [p.file_name for p in pictures]
    for (split, image), picture in zip(images, pictures, strict=True):
        rng = np.random.default_rng([SEED, SPLITS.index(split), 3, picture.number])
        sprites = [catalogue.sprites[c] for c in picture.classes]
        composed, labels = compose(rng, sprites, SPEC)
        assert np.array_equal(picture_of(root, image), composed)
        expected = Counter(
            (c + 1, (labels == number).tobytes())
            for number, c in enumerate(picture.classes, start=1)
            if (labels == number).any()
        )
        stored = Counter(
            (a["category_id"], mask_api.decode(a["segmentation"]).astype(bool).tobytes())
            for a in contents[split]["annotations"]
            if a["image_id"] == image["id"]
        )
        assert stored <= expected
        left_out = Counter(category for category, _ in (expected - stored).elements())
        if picture.focus is None:
            assert left_out == Counter(image["not_exhaustive_category_ids"])
        else:
            relatives = {c + 1 for c in catalogue.family_of(picture.focus)}
            assert not relatives & set(left_out)


def test_our_loader_gives_the_same_masks_and_counts(root, contents):
    dicts = load_lvis_format(str(root / "train.json"), str(root))
    stats = ClassStats.from_dicts(dicts, SPEC.num_classes)
    categories = contents["train"]["categories"]
    assert stats.image_count.tolist() == [c["image_count"] for c in categories]
    assert stats.instance_count.tolist() == [c["instance_count"] for c in categories]
    assert ["rcf"[g] for g in stats.groups()] == [c["frequency"] for c in categories]
    for record in dicts:
        for annotation in record["annotations"]:
            mask = mask_api.decode(annotation["segmentation"])
            assert mask.shape == (record["height"], record["width"])
            x, y, width, height = (int(v) for v in annotation["bbox"])
            assert mask[y : y + height, x : x + width].sum() == mask.sum() > 0


def ground_truth_as_detections(content) -> list[dict]:
    keys = ("image_id", "category_id", "segmentation")
    return [{**{k: a[k] for k in keys}, "score": 0.9} for a in content["annotations"]]


def evaluate(root, detections) -> dict:
    # The API writes into the detections.
    evaluation = LVISEval(LVIS(str(root / "val.json")), copy.deepcopy(detections), "segm")
    evaluation.run()
    return evaluation.get_results()


def test_ground_truth_as_detections_is_perfect_in_every_group_present(root, contents):
    content = contents["val"]
    results = evaluate(root, ground_truth_as_detections(content))
    frequency = {c["id"]: c["frequency"] for c in content["categories"]}
    present = {frequency[a["category_id"]] for a in content["annotations"]}
    assert "r" in present
    for group in "rcf":
        assert results[f"AP{group}"] == pytest.approx(1.0 if group in present else -1.0)


def test_what_the_lists_leave_open_costs_nothing_and_what_they_verify_does(root, contents):
    content = contents["val"]
    truth = ground_truth_as_detections(content)
    all_ids = {c["id"] for c in content["categories"]}
    open_, verified = [], []
    for image in content["images"]:
        present = {d["category_id"] for d in truth if d["image_id"] == image["id"]}
        some = next(d for d in truth if d["image_id"] == image["id"])
        negative = set(image["neg_category_ids"])
        for c in all_ids - present:
            (verified if c in negative else open_).append({**some, "category_id": c, "score": 1.0})
    assert open_
    assert verified
    assert evaluate(root, truth + open_)["AP"] == pytest.approx(1.0)
    assert evaluate(root, truth + verified)["AP"] < 0.9


def test_no_rare_instance_is_left_unannotated(contents):
    rare = {c["id"] for c in contents["train"]["categories"] if c["frequency"] == "r"}
    listed = {c for i in contents["train"]["images"] for c in i["not_exhaustive_category_ids"]}
    assert listed
    assert not rare & listed


def test_the_less_frequent_half_of_the_classes_is_spared_from_gaps():
    annotations = [{"category": c} for c in (7, 0, 4, 7, 3, 0, 4, 0, 3, 1)]
    spec = dataclasses.replace(SPEC, not_exhaustive=1.0)
    chosen = openmoji_picture.leave_one_out(np.random.default_rng(0), annotations, spec)
    assert chosen == [0, 3]
    assert sorted(a["category"] for a in annotations) == [0, 0, 1, 3, 4, 4, 7, 7]


def test_an_error_in_the_main_process_drops_the_pictures_not_begun(tmp_path, monkeypatch):
    class Interrupted(openmoji_writer.tqdm):
        def update(self, n=1):
            raise KeyboardInterrupt

    monkeypatch.setattr(openmoji_writer, "tqdm", Interrupted)
    removed = []
    remove = shutil.rmtree

    def count_and_remove(folder, **options):
        removed.append(len(list(folder.glob("train/*.png"))))
        remove(folder, **options)

    monkeypatch.setattr(openmoji_writer.shutil, "rmtree", count_and_remove)
    spec = dataclasses.replace(SPEC, num_train=1500)
    with pytest.raises(KeyboardInterrupt):
        generate(spec, tmp_path / "set", workers=2, progress=False)
    assert 1 <= removed[-1] < 500
    assert not list(tmp_path.iterdir())


def test_of_two_processes_at_a_time_both_succeed(root, tmp_path, monkeypatch):
    write = openmoji_writer._write

    def write_while_another_finishes(*args):
        write(*args)
        shutil.copytree(root, tmp_path / "set")

    monkeypatch.setattr(openmoji_writer, "_write", write_while_another_finishes)
    assert generate(SPEC, tmp_path / "set", seed=SEED, workers=1, progress=False).is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    shutil.rmtree(tmp_path / "set")
    with pytest.raises(ValueError, match="another seed"):
        generate(SPEC, tmp_path / "set", seed=SEED + 1, workers=1, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_worker_that_is_killed_raises_instead_of_waiting_for_ever(tmp_path, monkeypatch):
    def killed(*args):
        os.kill(os.getpid(), signal.SIGKILL)

    # Workers are forked and inherit the patch.
    monkeypatch.setattr(openmoji_picture, "compose", killed)
    with pytest.raises(BrokenProcessPool):
        generate(SPEC, tmp_path / "set", workers=2, progress=False)
    assert not (tmp_path / "set").exists()


def test_an_error_in_a_worker_is_raised_here(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr(openmoji_picture, "compose", fail)
    with pytest.raises(OSError, match="No space left"):
        generate(SPEC, tmp_path / "set", workers=2, progress=False)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("argument", [{"seed": -1}, {"workers": 0}, {"workers": -2}])
def test_bad_arguments_are_named(tmp_path, argument):
    (name,) = argument
    with pytest.raises(ValueError, match=f"`{name}`"):
        generate(SPEC, tmp_path / "set", progress=False, **argument)
    assert not list(tmp_path.iterdir())
