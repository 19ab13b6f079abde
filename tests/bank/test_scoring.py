"""Detections from the proposal bank are the detector's."""

import pytest
import torch
from detectron2.modeling import build_model
from torch import nn

from lt_det.bank.extract_test_set import build_proposal_bank
from lt_det.bank.scoring import detect
from lt_det.data.loaders import build_test_loader, test_dataset
from lt_det.engine.checkpoint import LTCheckpointer
from lt_det.evaluation.matching.detections import ImageDetections

pytestmark = pytest.mark.integration
# A fixture of this name would be collected.
dataset_of = test_dataset
del test_dataset


def in_detector(cfg, model) -> list[ImageDetections]:
    found = []
    model.eval()
    for (record,) in build_test_loader(cfg, cfg.DATASETS.TEST[0]):
        with torch.no_grad():
            instances = model([record])[0]["instances"]
        size = (record["height"], record["width"])
        found.append(ImageDetections.from_instances(record["image_id"], size, instances))
    return found


def other_classifier(cfg, seed: int):
    """The same detector with another classifier."""
    model = build_model(cfg)
    LTCheckpointer(model).load(cfg.MODEL.WEIGHTS)
    torch.manual_seed(seed)
    nn.init.normal_(model.roi_heads.box_predictor.cls_score.weight, std=0.2)
    return model


def assert_same(found: list[ImageDetections], expected: list[ImageDetections], masks=True):
    assert [d.image_id for d in found] == [d.image_id for d in expected]
    assert sum(len(d.scores) for d in expected) > 20
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.classes.tolist() == theirs.classes.tolist()
        torch.testing.assert_close(
            torch.from_numpy(ours.scores), torch.from_numpy(theirs.scores), rtol=1e-5, atol=1e-7
        )
        torch.testing.assert_close(
            torch.from_numpy(ours.boxes), torch.from_numpy(theirs.boxes), rtol=1e-5, atol=1e-4
        )
        if masks:
            assert ours.rles == theirs.rles


@pytest.mark.parametrize("store_maps", [True, False])
@pytest.mark.parametrize("agnostic", [True, False])
def test_detections_of_several_classifiers(bank_cfg, tmp_path, store_maps, agnostic):
    bank_cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG = agnostic
    bank_cfg.MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK = agnostic
    bank_cfg.FEATURE_BANK.STORE_MAPS = store_maps
    stage1 = build_model(bank_cfg)
    LTCheckpointer(stage1, str(tmp_path)).save("model")
    bank_cfg.MODEL.WEIGHTS = str(tmp_path / "model.pth")
    bank = build_proposal_bank(bank_cfg, stage1, bank_cfg.DATASETS.TEST[0], tmp_path / "bank")
    models = [other_classifier(bank_cfg, seed) for seed in (1, 2, 3)]
    dataset = None if store_maps else dataset_of(bank_cfg, bank_cfg.DATASETS.TEST[0])
    predictors = [model.roi_heads.box_predictor for model in models]
    found = list(detect(stage1, bank, predictors, dataset=dataset))
    assert len(found) == len(bank) == 8
    for number, model in enumerate(models):
        assert_same([per_picture[number] for per_picture in found], in_detector(bank_cfg, model))


def test_a_box_that_several_keep_has_one_mask(bank_cfg, stage1, tmp_path, monkeypatch):
    """Equal classifiers cost the mask head nothing."""
    bank_cfg.FEATURE_BANK.STORE_MAPS = True
    bank = build_proposal_bank(bank_cfg, stage1, bank_cfg.DATASETS.TEST[0], tmp_path / "bank")
    numbers = []
    given_boxes = stage1.roi_heads.forward_with_given_boxes
    monkeypatch.setattr(
        stage1.roi_heads,
        "forward_with_given_boxes",
        lambda maps, instances: numbers.append(len(instances[0])) or given_boxes(maps, instances),
    )
    predictor = stage1.roi_heads.box_predictor
    alone = list(detect(stage1, bank, [predictor]))
    once = sum(numbers)
    twice = list(detect(stage1, bank, [predictor, predictor]))
    assert sum(numbers) == 2 * once
    assert_same([a for a, _ in twice], [a for (a,) in alone])
    assert_same([b for _, b in twice], [a for (a,) in alone])


def test_without_masks(bank_cfg, stage1, tmp_path):
    bank = build_proposal_bank(bank_cfg, stage1, bank_cfg.DATASETS.TEST[0], tmp_path / "bank")
    predictor = stage1.roi_heads.box_predictor
    found = [d for (d,) in detect(stage1, bank, [predictor], with_masks=False)]
    assert all(d.rles is None for d in found)
    assert_same(found, in_detector(bank_cfg, stage1), masks=False)


def test_masks_without_maps_need_the_pictures(bank_cfg, stage1, tmp_path):
    bank = build_proposal_bank(bank_cfg, stage1, bank_cfg.DATASETS.TEST[0], tmp_path / "bank")
    with pytest.raises(ValueError, match=r"FEATURE_BANK.STORE_MAPS True"):
        next(detect(stage1, bank, [stage1.roi_heads.box_predictor]))


def test_a_classifier_that_finds_nothing(bank_cfg, stage1, tmp_path):
    bank_cfg.FEATURE_BANK.STORE_MAPS = True
    bank = build_proposal_bank(bank_cfg, stage1, bank_cfg.DATASETS.TEST[0], tmp_path / "bank")
    predictor = stage1.roi_heads.box_predictor
    predictor.test_score_thresh = 1.1
    for (detections,) in detect(stage1, bank, [predictor]):
        assert len(detections.scores) == 0
        assert detections.rles == []
