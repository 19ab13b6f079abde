"""Running statistics of a loss through the trainer: resume, and two processes."""

import pytest
import torch
from two_processes import assert_close, final, in_two_processes, train, train_rank

pytestmark = pytest.mark.integration

# Loss, its settings, and the statistics that the checkpoint holds.
LOSSES = {
    "seesaw": (
        [
            *("CLS_LOSS.NAME", "SeesawLoss"),
            *("CLASSIFIER.NAME", "CosineClassifier"),
            *("CLASSIFIER.REINIT", True),
        ],
        "running.count",
    ),
    "eqlv2": (["CLS_LOSS.NAME", "EQLv2Loss"], "gradient_sums.positive"),
    "equilibrium": (["CLS_LOSS.NAME", "EquilibriumLoss"], "running.mean_score"),
    "drw": (
        [
            *("CLS_LOSS.NAME", "ClassBalancedSoftmaxLoss"),
            *("CLS_LOSS.CLASS_BALANCED_SOFTMAX.BETA", 0.9),
            *("CLS_LOSS.CLASS_BALANCED_SOFTMAX.START_STEP", 3),
        ],
        "schedule.steps",
    ),
}
STEPS = 6


@pytest.fixture(params=LOSSES)
def training(request, unequal_stage_two):
    settings, statistics = LOSSES[request.param]
    for key, value in zip(settings[::2], settings[1::2], strict=True):
        unequal_stage_two.merge_from_list([f"MODEL.ROI_BOX_HEAD.{key}", value])
    unequal_stage_two.SOLVER.MAX_ITER = STEPS
    return unequal_stage_two, f"roi_heads.box_predictor.cls_loss.{statistics}"


def test_a_resumed_training_has_the_statistics_of_one_that_was_not(training, tmp_path):
    cfg, name = training
    train(cfg, tmp_path / "whole")
    cfg.SOLVER.CHECKPOINT_PERIOD = 2
    train(cfg, tmp_path / "parts", stop=2)
    halfway = torch.load(tmp_path / "parts" / "model_final.pth", weights_only=True)["model"][name]
    train(cfg, tmp_path / "parts", resume=True)
    expected, actual = final(tmp_path / "whole"), final(tmp_path / "parts")
    assert not halfway.equal(expected[name])
    assert all(actual[key].equal(value) for key, value in expected.items())


@pytest.mark.parametrize("training", ["seesaw"], indirect=True)  # the contract test has all
def test_two_processes_have_the_statistics_of_one(training, tmp_path):
    cfg, name = training
    train(cfg, tmp_path / "one")
    in_two_processes(train_rank, tmp_path, cfg, tmp_path / "two", False, None)
    assert_close(tmp_path / "two", tmp_path / "one")
    expected = final(tmp_path / "one")[name]
    torch.testing.assert_close(final(tmp_path / "two")[name], expected, rtol=1e-5, atol=1e-7)
