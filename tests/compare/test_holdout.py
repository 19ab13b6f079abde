"""A part of the training set to choose on, and the part of a bank that is left."""

import json
from itertools import islice

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from toy_coco import PICTURES, write_toy_coco
from toy_stage1 import frozen_stage1

from lt_det.bank.batches import class_aware_rois
from lt_det.bank.extract_training_set import build_feature_bank
from lt_det.compare.holdout import hold_out
from lt_det.data.datasets.coco import register_coco_format
from lt_det.engine.trainer import LTTrainer

NAME = "lt_det_holdout_coco"


@pytest.fixture(params=["lvis", "coco"])
def dataset(request, toy_lvis, tmp_path):
    """Name and annotation file of a training set of either format."""
    if request.param == "lvis":
        yield toy_lvis.train, toy_lvis.train_json
    else:
        folder = write_toy_coco(tmp_path / "coco")
        register_coco_format(NAME, str(folder / "annotations.json"), str(folder / "images"))
        yield NAME, folder / "annotations.json"
    for name in (NAME, f"{NAME}_holdout", f"{toy_lvis.train}_holdout"):
        if name in DatasetCatalog:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)


def ids_of(records) -> list:
    return [record["image_id"] for record in records]


def test_two_parts_are_the_whole(dataset, tmp_path):
    name, json_file = dataset
    records = DatasetCatalog.get(name)
    held_out, left = hold_out([name], records, 0.4, tmp_path / "part.json")
    ours = {record["image_id"]: record for record in DatasetCatalog.get(held_out)}
    assert len(left) == len(set(left))
    assert ours.keys() | set(ids_of(records[i] for i in left)) == set(ids_of(records))
    assert len(ours) + len(left) == len(records)
    for record in records:
        if record["image_id"] in ours:
            assert ours[record["image_id"]] == record
    whole, part = (json.loads(path.read_text()) for path in (json_file, tmp_path / "part.json"))
    assert part["categories"] == whole["categories"]
    assert [image for image in whole["images"] if image["id"] in ours] == part["images"]
    assert [a for a in whole["annotations"] if a["image_id"] in ours] == part["annotations"]
    metadata = [MetadataCatalog.get(n) for n in (name, held_out)]
    for key in ("evaluator_type", "image_root", "thing_classes"):
        assert metadata[0].get(key) == metadata[1].get(key), key


def test_each_picture_is_drawn_by_itself(dataset, tmp_path):
    """A picture stays on its side when others come and go, and a larger share adds pictures."""
    name, _ = dataset
    records = DatasetCatalog.get(name)

    def held_out(of, share):
        part, _ = hold_out([name], of, share, tmp_path / "part.json")
        return set(ids_of(DatasetCatalog.get(part)))

    whole = held_out(records, 0.4)
    assert held_out(records[::-1], 0.4) == whole
    fewer = records[1:]
    assert held_out(fewer, 0.4) == whole & set(ids_of(fewer))
    assert whole <= held_out(records, 0.7)


def test_pictures_that_are_not_trained_on_are_not_held_out(dataset, tmp_path):
    """Of filtered records: a picture without objects is on no side."""
    name, _ = dataset
    records = [r for r in DatasetCatalog.get(name) if r["annotations"]]
    held_out, left = hold_out([name], records, 0.7, tmp_path / "part.json")
    assert all(record["annotations"] for record in DatasetCatalog.get(held_out))
    assert len(DatasetCatalog.get(held_out)) + len(left) == len(records) < len(PICTURES)


@pytest.mark.parametrize(
    ("names", "share", "message"),
    [
        (1, 0.0, r"--holdout to be in \(0, 1\), but got 0.0"),
        (1, 1.0, r"--holdout to be in \(0, 1\), but got 1.0"),
        (2, 0.5, "one training set, but DATASETS.TRAIN names 2: name a dev set by --dev"),
        (1, 1e-9, "1e-09 of 8 pictures leaves nothing on one side"),
    ],
)
def test_what_cannot_be_held_out(toy_lvis, tmp_path, names, share, message):
    records = DatasetCatalog.get(toy_lvis.train)
    with pytest.raises(ValueError, match=message):
        hold_out([toy_lvis.train] * names, records, share, tmp_path / "part.json")


def test_a_set_without_an_annotation_file(tmp_path):
    MetadataCatalog.get(NAME).set(evaluator_type="lvis")
    try:
        with pytest.raises(
            ValueError, match=rf"\['coco', 'lvis'\], which '{NAME}' is not: .*--dev"
        ):
            hold_out([NAME], [{"image_id": 1}], 0.5, tmp_path / "part.json")
    finally:
        MetadataCatalog.remove(NAME)


# --- the bank of what is left --------------------------------------------------------------------


@pytest.fixture
def bank(tiny_cfg, tmp_path):
    cfg = frozen_stage1(tiny_cfg, tmp_path)
    cfg.INPUT.RANDOM_FLIP = "horizontal"
    cfg.FEATURE_BANK.NUM_VIEWS = 2
    return build_feature_bank(cfg, LTTrainer.build_model(cfg), tmp_path / "bank")


@pytest.mark.integration
def test_a_picture_has_the_same_rois_in_a_part_of_the_bank(bank):
    kept = [5, 0, 3]
    part = bank.subset(kept)
    np.testing.assert_array_equal(part.picture_numbers, bank.picture_numbers[kept])
    nested = part.subset([2, 1])  # pictures 3 and 0
    for step in range(6):
        seeds = [(1, step, number) for number in range(3)]
        ours, theirs = part.rois([0, 1, 2], seeds), bank.rois(kept, seeds)
        assert ours.features.equal(theirs.features)
        assert ours.gt_classes.equal(theirs.gt_classes)
        assert ours.num_per_image == theirs.num_per_image
        assert nested.rois([0, 1], seeds[:2]).features.equal(bank.rois([3, 0], seeds[:2]).features)


@pytest.mark.integration
def test_class_aware_rois_of_a_part_are_of_its_pictures(bank, tiny_cfg):
    kept = [0, 1, 4]
    part = bank.subset(kept)
    labels = part.labels_of_all()
    assert len(labels) == len(part) == len(bank)
    allowed = bank.rows(np.flatnonzero(labels >= 0))
    # Rows of both views, and every one of them.
    assert len(allowed) == sum(
        v.rows.stop - v.rows.start for i, v in enumerate(bank._visits) if i % 7 in kept
    )
    rows = {row.numpy().tobytes() for row in allowed.features}
    others = {row.numpy().tobytes() for row in bank.rows(np.flatnonzero(labels < 0)).features}
    assert others - rows
    drawn = list(islice(class_aware_rois(tiny_cfg, part, seed=0), 40))
    found = {row.numpy().tobytes() for rois in drawn for row in rois.features}
    assert found <= rows
    classes = torch.cat([rois.gt_classes for rois in drawn]).unique().tolist()
    assert classes == sorted(set(labels[labels >= 0].tolist()))


@pytest.mark.integration
def test_a_mean_step_of_a_part_is_of_its_pictures(bank):
    means = [bank.subset([i]).mean_step(1000) for i in range(bank.num_pictures)]
    # To rounding: of all pictures the mean, since each is drawn as often.
    whole = bank.mean_step(1000)
    np.testing.assert_allclose(np.mean(means, axis=0), whole, atol=1)
    assert len(set(means)) > 1
