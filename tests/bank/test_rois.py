"""The feature bank: what it keeps, what a step draws from it."""

import copy
import shutil

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils import comm

from lt_det.bank.extract_training_set import build_feature_bank
from lt_det.bank.folder import StaleBankError
from lt_det.bank.sampling import sample_step
from lt_det.data.datasets.training_sets import training_dicts

pytestmark = pytest.mark.integration


def files(path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_all_foreground_and_a_weighted_sample_of_background(bank_cfg, stage1, tmp_path):
    whole = build_feature_bank(bank_cfg, stage1, tmp_path / "whole")
    bank_cfg.FEATURE_BANK.NUM_BACKGROUND = 5
    part = build_feature_bank(bank_cfg, stage1, tmp_path / "part")
    num_classes = whole.num_classes
    labels, kept = whole.labels_of_all(), part.labels_of_all()
    np.testing.assert_array_equal(labels[labels < num_classes], kept[kept < num_classes])
    assert (labels < num_classes).sum() > 8
    np.testing.assert_array_equal(whole.weights_of_all(), np.ones(len(labels)))
    weights = part.weights_of_all()
    # Exact: the background of every picture is stood for.
    assert (kept == num_classes).sum() == 5 * part.num_pictures
    np.testing.assert_allclose(weights.sum(), len(labels))
    for bank in (whole, part):
        rois = bank.rows(np.arange(len(bank)))
        assert rois.features.isfinite().all()
        assert rois.gt_classes.tolist() == bank.labels_of_all().tolist()


def test_a_background_sample_is_uniform():
    """Weighted losses of kept rows have the mean of all rows, whatever the loss."""
    values = torch.arange(12.0).square()
    gt_classes = torch.tensor([0, 1] + [4] * 10)
    drawn, weighted_ = [], []
    for seed in range(2000):
        torch.manual_seed(seed)
        kept = torch.cat([torch.arange(2), 2 + torch.randperm(10)[:3].sort().values])
        rows, weights = sample_step(gt_classes[kept], 10, 9, 0.25, 4)
        assert weights[0] == weights[1] == 1
        # Seven wanted beside two of the foreground, three kept.
        assert weights[2:].tolist() == pytest.approx([7 / 3] * 3)
        weighted_.append(float((weights * values[kept[rows]]).sum()))
        torch.manual_seed(seed)
        rows, weights = sample_step(gt_classes, 10, 9, 0.25, 4)
        assert weights.eq(1).all()
        drawn.append(float(values[rows].sum()))
    error = np.hypot(np.std(drawn), np.std(weighted_)) / np.sqrt(2000)
    assert abs(np.mean(drawn) - np.mean(weighted_)) < 4 * error


def test_a_step_without_background_wanted_has_none():
    rows, weights = sample_step(torch.tensor([0, 0, 1]), 0, 8, 0.5, 4)
    assert sorted(rows.tolist()) == [0, 1, 2]
    assert weights.tolist() == [1, 1, 1]


def test_pictures_without_proposals_of_a_kind(bank_cfg, stage1, tmp_path):
    """An empty training picture has background alone."""
    bank_cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    bank = build_feature_bank(bank_cfg, stage1, tmp_path / "bank")
    records = training_dicts(bank_cfg)
    (empty,) = [i for i, record in enumerate(records) if not record["annotations"]]
    rois = bank.rois([empty], [(1, 0, 0)])
    assert rois.gt_classes.eq(bank.num_classes).all()
    assert len(rois) > 0
    assert rois.features.shape == (len(rois), stage1.roi_heads.box_predictor.cls_score.in_features)


def test_views_differ_and_are_drawn_alike(bank_cfg, stage1, tmp_path):
    bank_cfg.INPUT.RANDOM_FLIP = "horizontal"
    bank_cfg.FEATURE_BANK.NUM_VIEWS = 4
    bank = build_feature_bank(bank_cfg, stage1, tmp_path / "bank")
    assert bank.num_views == 4
    sums = [float(bank.rois([0], [(1, step, 5)]).features.sum()) for step in range(400)]
    # Steps also draw RoIs: a view shows in which of the stored features occur.
    assert len(set(sums)) > 1
    views = np.bincount([bank._view((1, step, 5)) for step in range(4000)], minlength=4)
    # Standard deviation of a binomial(4000, 1/4) is 27.4.
    assert np.abs(views - 1000).max() < 4 * 27.4


def test_extraction_stopped_anywhere_goes_on_to_the_same_bytes(
    bank_cfg, stage1, tmp_path, monkeypatch
):
    build_feature_bank(bank_cfg, stage1, tmp_path / "whole")
    whole = files(tmp_path / "whole")
    assert sum(name.endswith("features.npy") for name in whole) == 3
    backbone = stage1.backbone.forward
    for stop_after in (1, 2, 3, 4):
        calls = iter(range(stop_after))

        def interrupted(*args, calls=calls):
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return backbone(*args)

        monkeypatch.setattr(stage1.backbone, "forward", interrupted)
        path = tmp_path / f"stopped{stop_after}"
        with pytest.raises(KeyboardInterrupt):
            build_feature_bank(bank_cfg, stage1, path)
        monkeypatch.setattr(stage1.backbone, "forward", backbone)
        assert files(path) != whole
        build_feature_bank(bank_cfg, stage1, path)
        assert files(path) == whole


def test_extraction_stops_between_shards(bank_cfg, stage1, tmp_path):
    class TimeIsUp(Exception):
        pass

    def stop():
        raise TimeIsUp

    build_feature_bank(bank_cfg, stage1, tmp_path / "whole")
    path = tmp_path / "slices"
    for num_shards in (1, 2):
        with pytest.raises(TimeIsUp):
            build_feature_bank(bank_cfg, stage1, path, stop)
        assert len(list(path.glob("shard_*"))) == num_shards
    build_feature_bank(bank_cfg, stage1, path, stop)
    assert files(path) == files(tmp_path / "whole")


def test_a_complete_bank_is_not_extracted_again(bank_cfg, stage1, tmp_path, monkeypatch):
    build_feature_bank(bank_cfg, stage1, tmp_path / "bank")
    monkeypatch.setattr(stage1, "forward", None)
    build_feature_bank(bank_cfg, stage1, tmp_path / "bank")


def test_other_ranks_look_at_a_folder_that_has_been_begun(bank_cfg, stage1, tmp_path, monkeypatch):
    build_feature_bank(bank_cfg, stage1, tmp_path / "bank")
    manifest, hidden = tmp_path / "bank" / "manifest.json", tmp_path / "hidden"
    manifest.rename(hidden)  # as rank 1 finds it that is faster than rank 0
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    monkeypatch.setattr(comm, "synchronize", lambda: hidden.exists() and hidden.rename(manifest))
    build_feature_bank(bank_cfg, stage1, tmp_path / "bank")


def test_a_removed_shard_is_made_anew(bank_cfg, stage1, tmp_path):
    build_feature_bank(bank_cfg, stage1, tmp_path / "bank")
    whole = files(tmp_path / "bank")
    shutil.rmtree(tmp_path / "bank" / "shard_00001")
    build_feature_bank(bank_cfg, stage1, tmp_path / "bank")
    assert files(tmp_path / "bank") == whole


def test_another_checkpoint_is_refused(bank_cfg, stage1, tmp_path):
    from lt_det.engine.checkpoint import LTCheckpointer

    build_feature_bank(bank_cfg, stage1, tmp_path / "bank")
    other = build_model(bank_cfg)
    LTCheckpointer(other, str(tmp_path)).save("other")
    bank_cfg.MODEL.WEIGHTS = str(tmp_path / "other.pth")
    with pytest.raises(StaleBankError, match="checkpoint is"):
        build_feature_bank(bank_cfg, other, tmp_path / "bank")


@pytest.mark.parametrize(
    ("key", "value"),
    [("INPUT.MIN_SIZE_TRAIN", (48,)), ("FEATURE_BANK.NUM_BACKGROUND", 7)],
)
def test_other_settings_are_refused_by_name(bank_cfg, stage1, tmp_path, key, value):
    build_feature_bank(bank_cfg, stage1, tmp_path / "bank")
    bank_cfg.merge_from_list([key, value])
    with pytest.raises(StaleBankError, match=key):
        build_feature_bank(bank_cfg, stage1, tmp_path / "bank")


def test_the_classifier_does_not_count(bank_cfg, stage1, tmp_path):
    build_feature_bank(bank_cfg, stage1, tmp_path / "bank")
    bank_cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = "BalancedSoftmaxLoss"
    build_feature_bank(bank_cfg, stage1, tmp_path / "bank")


def test_features_too_large_for_the_type_are_refused(bank_cfg, stage1, tmp_path):
    bank_cfg.FEATURE_BANK.DTYPE = "float16"
    with torch.no_grad():
        for layer in stage1.roi_heads.box_head.fcs:
            layer.weight.mul_(1e6)
            layer.bias.add_(1e6)
    with pytest.raises(ValueError, match=r"FEATURE_BANK.DTYPE 'float32'"):
        build_feature_bank(bank_cfg, stage1, tmp_path / "bank")


def test_nothing_in_the_model_changes(bank_cfg, stage1, tmp_path):
    before = copy.deepcopy(stage1.state_dict())
    stage1.train()
    stage1.roi_heads.box_head.eval()
    build_feature_bank(bank_cfg, stage1, tmp_path / "bank")
    torch.testing.assert_close(stage1.state_dict(), before, rtol=0, atol=0)
    assert stage1.training
    assert not stage1.roi_heads.box_head.training
    assert stage1.roi_heads.mask_on
    assert all(p.requires_grad for p in stage1.roi_heads.parameters())
    assert "_sample_proposals" not in vars(stage1.roi_heads)


def test_a_cascade_is_refused(bank_cfg, tmp_path):
    bank_cfg.MODEL.ROI_HEADS.NAME = "LTCascadeROIHeads"
    bank_cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG = True
    with pytest.raises(ValueError, match="one lt_det box predictor, but got 3"):
        build_feature_bank(bank_cfg, build_model(bank_cfg), tmp_path / "bank")


def test_a_disk_that_is_too_small(bank_cfg, stage1, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(ValueError, match=r"will need about .* GB and has 0.0 GB"):
        build_feature_bank(bank_cfg, stage1, tmp_path / "bank")
