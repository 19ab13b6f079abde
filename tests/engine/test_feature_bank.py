"""The feature bank: what it stores, what it draws, that it trains what the detector would."""

import copy

import pytest
import torch

from lt_det.engine.feature_bank import FeatureBank


def bank_of(rows_per_visit: list[tuple[int, int]]) -> FeatureBank:
    """Visits as (image, rows); feature = row number, class = image."""
    visits, start = [], 0
    for image, rows in rows_per_visit:
        visits.append((image, start, start + rows))
        start += rows
    gt_classes = torch.cat([torch.full((rows,), image) for image, rows in rows_per_visit])
    return FeatureBank(torch.arange(start).float().unsqueeze(1), gt_classes, torch.tensor(visits))


def test_a_batch_is_all_rois_of_the_drawn_images():
    bank = bank_of([(0, 2), (1, 3), (2, 1)])
    rois = next(bank.batches(iter([2, 0]), 2, seed=0))
    assert rois.features.flatten().tolist() == [5, 0, 1]
    assert rois.gt_classes.tolist() == [2, 0, 0]
    assert rois.num_per_image == [1, 2]
    assert rois.image_of.tolist() == [0, 1, 1]


def test_every_visit_of_an_image_is_drawn_equally_often():
    bank = bank_of([(0, 1), (0, 1), (0, 1)])
    batches = bank.batches(iter([0] * 3000), 3000, seed=0)
    counts = torch.bincount(next(batches).features.flatten().long())
    # Standard deviation of a binomial(3000, 1/3) is 25.8.
    assert (counts - 1000).abs().max() < 4 * 25.8


def test_images_that_are_not_stored_are_passed_over():
    bank = bank_of([(7, 2)])
    rois = next(bank.batches(iter([3, 7, 5, 7]), 2, seed=0))
    assert rois.gt_classes.tolist() == [7, 7, 7, 7]


def test_save_and_load(tmp_path):
    bank = bank_of([(0, 2), (4, 1)])
    bank.save(tmp_path / "bank.pth")
    loaded = FeatureBank.load(tmp_path / "bank.pth")
    for name in ("features", "gt_classes", "visits"):
        value = getattr(bank, name)
        assert torch.equal(getattr(loaded, name), value)


def test_shapes_that_do_not_fit_raise():
    bank = bank_of([(0, 2)])
    with pytest.raises(ValueError, match="labels"):
        FeatureBank(bank.features, bank.gt_classes[:1], bank.visits)
    with pytest.raises(ValueError, match="at least one image"):
        FeatureBank(bank.features, bank.gt_classes, bank.visits[:0])


@pytest.mark.integration
def test_a_step_on_the_bank_equals_a_step_of_the_detector(tiny_cfg, toy_lvis):
    """Same RoIs, same classifier step: the bank is not another method, only a faster one."""
    from detectron2.data import DatasetMapper
    from detectron2.modeling import build_model
    from detectron2.utils.env import seed_all_rng
    from detectron2.utils.events import EventStorage

    from lt_det.data.statistics import training_dicts
    from lt_det.engine.feature_bank import extract_features, train_classifier
    from lt_det.engine.freeze import FrozenModulesInEval, freeze_parameters

    cfg = tiny_cfg.clone()
    cfg.defrost()
    cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = "BalancedSoftmaxLoss"
    cfg.SOLVER.TRAINABLE_PARAMS = ("*cls_score*",)
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.STEPS = 1, 1, (10,)
    cfg.SOLVER.WARMUP_ITERS, cfg.SOLVER.BASE_LR = 0, 0.1
    seed_all_rng(0)
    model = build_model(cfg)
    detector = copy.deepcopy(model)
    dicts, mapper = training_dicts(cfg)[:1], DatasetMapper(cfg, is_train=True)

    bank = extract_features(model, dicts, mapper, seed=5)
    train_classifier(cfg, model, bank, iter([0]))

    freeze_parameters(detector, cfg.SOLVER.TRAINABLE_PARAMS)
    detector.train()
    FrozenModulesInEval(detector).before_step()
    seed_all_rng(5 + 1)
    with EventStorage():
        detector([mapper(copy.deepcopy(dicts[0]))])["loss_cls"].backward()
    classifier = detector.roi_heads.box_predictor.cls_score
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    from detectron2.solver import build_optimizer

    build_optimizer(cfg, detector).step()
    for name, after in classifier.state_dict().items():
        assert not torch.equal(after, before[name])
        stepped = model.roi_heads.box_predictor.cls_score.state_dict()[name]
        # Features are stored in half precision.
        torch.testing.assert_close(stepped, after, rtol=2e-3, atol=2e-5)


@pytest.mark.integration
def test_parameters_below_the_classifier_are_refused(tiny_cfg, toy_lvis):
    from detectron2.modeling import build_model

    from lt_det.engine.feature_bank import train_classifier

    with pytest.raises(ValueError, match="TRAINABLE_PARAMS"):
        train_classifier(tiny_cfg, build_model(tiny_cfg), bank_of([(0, 1)]), iter([0]))
