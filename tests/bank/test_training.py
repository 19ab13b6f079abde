"""A classifier trained on the bank is the one the detector would have trained."""

import copy

import numpy as np
import pytest
import torch

from lt_det.bank.batches import class_aware_rois
from lt_det.bank.extract_training_set import build_feature_bank
from lt_det.bank.training import train_classifier
from lt_det.compare.studies.decoupled import train_on_bank
from lt_det.data.datasets.training_sets import training_dicts
from lt_det.engine.trainer import LTTrainer

pytestmark = pytest.mark.integration


def in_detector(cfg) -> dict[str, torch.Tensor]:
    """Stage 2 by ``tools/train_net.py``."""
    trainer = LTTrainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    return trainer.model.roi_heads.box_predictor.cls_score.state_dict()


def on_bank(cfg, stage1, path) -> dict[str, torch.Tensor]:
    bank = build_feature_bank(cfg, stage1, path)
    model = train_on_bank(cfg, bank, training_dicts(cfg))
    return model.roi_heads.box_predictor.cls_score.state_dict()


@pytest.mark.parametrize(
    ("loss", "sampler", "meta"),
    [
        ("SoftmaxLoss", "TrainingSampler", ""),
        ("BalancedSoftmaxLoss", "ClassAwareTrainingSampler", ""),
        ("BalancedSigmoidLoss", "RepeatFactorTrainingSampler", ""),
        ("BalancedSoftmaxLoss", "TrainingSampler", "MetaReweighter"),
        ("BalancedSoftmaxLoss", "TrainingSampler", "MetaSampler"),
        ("SigmoidLoss", "TrainingSampler", ""),
        ("SigmoidLoss", "TrainingSampler", "MetaReweighter"),
        ("DropLoss", "TrainingSampler", ""),
        ("EQLv2Loss", "TrainingSampler", ""),
    ],
)
def test_the_same_classifier_as_in_the_detector(bank_cfg, stage1, tmp_path, loss, sampler, meta):
    bank_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = loss
    # The checkpoint is of K + 1 logits.
    for node in ("BALANCED_SIGMOID", "SIGMOID", "DROP"):
        bank_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS[node].BACKGROUND_COLUMN = True
    bank_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.SIGMOID.ONLY_KNOWN_NEGATIVES = True
    bank_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.DROP.THRESHOLD = 0.5
    bank_cfg.DATALOADER.SAMPLER_TRAIN = sampler
    bank_cfg.SOLVER.META.NAME, bank_cfg.SOLVER.META.SAMPLER.LAG = meta, 2
    before = copy.deepcopy(stage1.roi_heads.box_predictor.cls_score.state_dict())
    expected = in_detector(bank_cfg)
    trained = on_bank(bank_cfg, stage1, tmp_path / "bank")
    for name, value in expected.items():
        moved = (value - before[name]).abs().max()
        assert moved > 1e-3
        # To rounding: sums in another order.
        torch.testing.assert_close(trained[name], value, rtol=1e-4, atol=1e-4 * float(moved))


def test_half_the_precision_is_nearly_the_same(bank_cfg, stage1, tmp_path):
    exact = on_bank(bank_cfg, stage1, tmp_path / "exact")
    bank_cfg.FEATURE_BANK.DTYPE = "float16"
    rounded = on_bank(bank_cfg, stage1, tmp_path / "rounded")
    before = stage1.roi_heads.box_predictor.cls_score.state_dict()
    for name, value in exact.items():
        moved = (value - before[name]).abs().max()
        difference = (rounded[name] - value).abs().max()
        assert 0 < difference < 2e-3 * moved


def test_training_repeats(bank_cfg, stage1, tmp_path):
    bank_cfg.MODEL.ROI_BOX_HEAD.CLASSIFIER.REINIT = True
    bank_cfg.FEATURE_BANK.NUM_BACKGROUND = 4
    first = on_bank(bank_cfg, stage1, tmp_path / "bank")
    torch.manual_seed(99)
    torch.testing.assert_close(on_bank(bank_cfg, stage1, tmp_path / "bank"), first, rtol=0, atol=0)


def test_class_aware_rois(bank_cfg, stage1, tmp_path):
    bank_cfg.FEATURE_BANK.NUM_BACKGROUND = 6
    bank = build_feature_bank(bank_cfg, stage1, tmp_path / "bank")
    foreground, total = bank.mean_step(bank_cfg.SOLVER.IMS_PER_BATCH)
    stream = class_aware_rois(bank_cfg, bank, seed=0)
    labels = torch.cat([next(stream).gt_classes for _ in range(300)])
    counts = torch.bincount(labels, minlength=bank.num_classes + 1).double()
    present = np.unique(bank.labels_of_all())[:-1]
    expected = 300 * foreground / len(present)
    # Class 3 of the toy set has no object.
    assert 3 not in present
    assert counts[3] == 0
    assert (counts[present] - expected).abs().max() < 4 * expected**0.5
    assert counts[-1] == 300 * (total - foreground)


def test_class_aware_rois_train(bank_cfg, stage1, tmp_path):
    natural = on_bank(bank_cfg, stage1, tmp_path / "bank")
    bank_cfg.FEATURE_BANK.ROI_SAMPLER = "class_aware"
    class_aware = on_bank(bank_cfg, stage1, tmp_path / "bank")
    assert not torch.equal(class_aware["weight"], natural["weight"])


def test_class_aware_rois_have_no_lists_of_their_picture(bank_cfg, stage1, tmp_path):
    bank = build_feature_bank(bank_cfg, stage1, tmp_path / "bank")
    bank_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = "SigmoidLoss"
    bank_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.SIGMOID.ONLY_KNOWN_NEGATIVES = True
    bank_cfg.FEATURE_BANK.ROI_SAMPLER = "class_aware"
    with pytest.raises(ValueError, match="'class_aware' does not know an RoI's picture"):
        train_classifier(bank_cfg, LTTrainer.build_model(bank_cfg), bank, training_dicts(bank_cfg))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["SOLVER.TRAINABLE_PARAMS", ("*",)], "SOLVER.TRAINABLE_PARAMS also matches"),
        (["FEATURE_BANK.ROI_SAMPLER", "balanced"], "Expected FEATURE_BANK.ROI_SAMPLER to be one"),
        (["SOLVER.BASE_LR", 1e38], "SOLVER.BASE_LR 1e"),
        (
            ["FEATURE_BANK.ROI_SAMPLER", "class_aware", "SOLVER.META.NAME", "MetaReweighter"],
            "set FEATURE_BANK.ROI_SAMPLER ''",
        ),
    ],
)
def test_settings_that_cannot_be(bank_cfg, stage1, tmp_path, settings, message):
    bank = build_feature_bank(bank_cfg, stage1, tmp_path / "bank")
    bank_cfg.merge_from_list(settings)
    with pytest.raises(ValueError, match=message):
        train_classifier(bank_cfg, stage1, bank, training_dicts(bank_cfg))
