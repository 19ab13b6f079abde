"""The benchmark `bank`: what its sides do, and how an epoch is extrapolated. Nothing is timed."""

import json

import numpy as np
import pytest

from lt_det.bank import extract_training_set as rois

from benchmarks import bank, run_benchmark
from benchmarks.parts import bank_sides, meta_sides
from benchmarks.parts.bank_sides import BankSides, registered_pictures

SIZE = meta_sides.Size(64, 16, 20, 2, iou_threshold=0.3)


@pytest.fixture
def sides(narrow_detector, event_storage, tmp_path):
    with registered_pictures(tmp_path, 3, SIZE):
        yield BankSides(tmp_path, SIZE, 2)


@pytest.mark.integration
def test_bank_reports_its_figures(narrow_detector, monkeypatch):
    monkeypatch.setattr(bank, "SIZE", SIZE)
    monkeypatch.setattr(bank, "QUICK", (2, 1, 2))
    monkeypatch.setattr(bank, "BATCH_SIZE", 2)
    monkeypatch.setattr(bank, "META_BATCH_SIZE", 2)
    monkeypatch.setattr(bank, "SMALL_META_BATCH_SIZE", 1)
    result = run_benchmark("bank", quick=True)
    assert json.loads(result.to_json())["name"] == "bank"
    assert set(result.figures) == {
        "speedup_amortised",
        "meta_ratio_to_plain",
        "small_meta_ratio_to_plain",
        "bytes_per_image",
        "extraction_peak_mib",
        "extraction_s_per_image",
        "detector_s_per_image",
        "bank_s_per_image",
    }
    assert all(value > 0 for value in result.figures.values())
    assert "1 meta pictures beside 2" in result.text


def test_an_epoch_is_extrapolated_round_by_round():
    # 12 trainings of 4 epochs: 48 * 2 seconds in the detector, 6 + 48 * 0.5 with a bank.
    detector, extraction, plain = np.array([[2.0, 20.0], [6.0, 60.0], [0.5, 5.0]])
    ratios = bank._ratios(detector, extraction, plain, 3 * plain, 2 * plain)
    assert ratios["speedup_amortised"].low == ratios["speedup_amortised"].high == 96 / 30
    assert ratios["meta_ratio_to_plain"].median == 3
    assert ratios["small_meta_ratio_to_plain"].median == 2


def test_the_settings_are_those_of_the_lvis_configs():
    assert (bank.BATCH_SIZE, bank.META_BATCH_SIZE) == (16, 16)
    assert (bank.SIZE.num_rois, bank.SIZE.num_proposals, bank.SIZE.num_objects) == (512, 1000, 12)
    assert (bank.METHODS, bank.EPOCHS) == (12, 4)
    assert bank.FULL[2] >= 10


def test_an_extraction_costs_as_many_pictures_as_it_passes(sides, monkeypatch):
    passed = []
    forward = rois._forward

    def counted(cfg, model):
        original = forward(cfg, model)
        return lambda batch: passed.append(len(batch)) or original(batch)

    monkeypatch.setattr(rois, "_forward", counted)
    sides.extract()
    assert sum(passed) == sides.num_extracted == 5


def test_a_pictures_bytes(sides):
    # float16 features, int32 label, four float32 coordinates; three int64 a picture; a .npy header.
    columns = len(sides.bank) * (2 * 32 + 4 + 16) + 3 * 3 * 8
    assert sides.bytes_per_image == (columns + 6 * 128) / 3


def test_every_side_takes_a_step(sides):
    classifier = sides._model.roi_heads.box_predictor.cls_score.weight.clone()
    sides.detector_step()()
    for sizes in ((2,), (2, 1)):
        with sides.bank_step(*sizes) as step:
            step()
    # Each on a detector of its own.
    assert sides._model.roi_heads.box_predictor.cls_score.weight.equal(classifier)
    assert (sides._folder / "class_rates.json").is_file()


def test_pictures_are_given_back(tmp_path):
    from detectron2.data import DatasetCatalog

    with registered_pictures(tmp_path, 1, SIZE):
        (record,) = DatasetCatalog.get(bank_sides.DATASET)
        assert len(record["annotations"]) == 2
    assert bank_sides.DATASET not in DatasetCatalog
