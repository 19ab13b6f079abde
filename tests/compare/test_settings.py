"""A row's settings as a config."""

import pytest

from lt_det.compare.settings import check_keys, with_settings


@pytest.mark.parametrize(
    ("epochs", "pictures", "batch", "expected"),
    [
        (4, 1000, 8, (500, (350, 450), 25)),
        (0.5, 100, 10, (5, (4,), 0)),  # 3.5 and 4.5 both round to 4
        (1, 3, 1, (3, (2,), 0)),  # 2.7 rounds to the end
        (1, 2, 2, (1, (), 0)),
        (1e-6, 2, 2, (1, (), 0)),  # a step at least
        (3, 70, 2, (105, (74, 94), 5)),
    ],
)
def test_epochs_are_a_schedule(tiny_cfg, epochs, pictures, batch, expected):
    tiny_cfg.SOLVER.IMS_PER_BATCH = batch
    solver = with_settings(tiny_cfg, {"EPOCHS": epochs}, pictures).SOLVER
    assert (solver.MAX_ITER, solver.STEPS, solver.WARMUP_ITERS) == expected


def test_the_rate_falls_before_the_end_and_never_at_once(tiny_cfg):
    tiny_cfg.SOLVER.IMS_PER_BATCH = 1
    for steps in range(1, 60):
        solver = with_settings(tiny_cfg, {"EPOCHS": 1}, steps).SOLVER
        assert list(solver.STEPS) == sorted(set(solver.STEPS))
        assert all(0 < step < steps for step in solver.STEPS)


@pytest.mark.parametrize("batch_first", [True, False])
def test_epochs_are_of_the_batch_size_beside_them(tiny_cfg, batch_first):
    items = [("EPOCHS", 2), ("SOLVER.IMS_PER_BATCH", 5), ("SOLVER.WARMUP_ITERS", 7)]
    solver = with_settings(tiny_cfg, dict(items[:: -1 if batch_first else 1]), 50).SOLVER
    assert (solver.MAX_ITER, solver.IMS_PER_BATCH) == (20, 5)
    assert solver.WARMUP_ITERS == 7


@pytest.mark.parametrize("first", [True, False])
def test_a_share_of_the_training_is_a_number_of_its_steps(tiny_cfg, first):
    key = "MODEL.ROI_BOX_HEAD.CLS_LOSS.LDAM.START_STEP"
    items = [
        ("EPOCHS", 2),
        ("SOLVER.IMS_PER_BATCH", 5),
        (key, "80%"),
        ("TEST.EVAL_PERIOD", "12.5%"),
    ]
    cfg = with_settings(tiny_cfg, dict(items[:: -1 if first else 1]), 100)
    assert (cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.LDAM.START_STEP, cfg.TEST.EVAL_PERIOD) == (32, 5)
    cfg = with_settings(tiny_cfg, {key: "80%", "SOLVER.MAX_ITER": 1000}, 100)
    assert cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.LDAM.START_STEP == 800


def test_values_take_the_type_of_the_key(tiny_cfg):
    cfg = with_settings(
        tiny_cfg,
        {
            "SOLVER.BASE_LR": 1,
            "SOLVER.TRAINABLE_PARAMS": ["*cls_score*"],
            "MODEL.ROI_BOX_HEAD.CLASSIFIER.REINIT": True,
            "SEED": 5,
        },
        10,
    )
    assert (cfg.SOLVER.BASE_LR, type(cfg.SOLVER.BASE_LR)) == (1.0, float)
    assert cfg.SOLVER.TRAINABLE_PARAMS == ("*cls_score*",)
    assert cfg.MODEL.ROI_BOX_HEAD.CLASSIFIER.REINIT is True
    assert cfg.SEED == 5
    assert cfg.is_frozen()


def test_the_config_given_stays_as_it_is(tiny_cfg):
    before = tiny_cfg.dump()
    with_settings(tiny_cfg, {"EPOCHS": 3, "SOLVER.BASE_LR": 9.0}, 10)
    assert tiny_cfg.dump() == before
    assert not tiny_cfg.is_frozen()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"SOLVER.BASE_RATE": 0.1}, "There is no config key 'SOLVER.BASE_RATE'"),
        ({"SOLVER.BASE_LR.X": 0.1}, "There is no config key 'SOLVER.BASE_LR.X'"),
        ({"SOLVERS.BASE_LR": 0.1}, "There is no config key 'SOLVERS.BASE_LR'"),
        ({"epochs": 1}, "There is no config key 'epochs'"),
        # YAML takes 1e-3 for a text.
        ({"SOLVER.BASE_LR": "1e-3"}, "Expected SOLVER.BASE_LR to be of type float, .* got '1e-3'"),
        ({"SOLVER.BASE_LR": True}, "Expected SOLVER.BASE_LR to be of type float"),
        ({"SOLVER.MAX_ITER": 4.0}, "Expected SOLVER.MAX_ITER to be of type int"),
        ({"MODEL.ROI_BOX_HEAD.CLASSIFIER.REINIT": 1}, "REINIT to be of type bool"),
        ({"SOLVER.BASE_LR": "80%"}, "Expected SOLVER.BASE_LR to be of type float"),
        ({"TEST.EVAL_PERIOD": "-5%"}, "Expected TEST.EVAL_PERIOD to be of type int, .* got '-5%'"),
        ({"TEST.EVAL_PERIOD": "5 %"}, "Expected TEST.EVAL_PERIOD to be of type int, .* got '5 %'"),
        ({"EPOCHS": 0}, "Expected EPOCHS to be a number above 0, but got 0"),
        ({"EPOCHS": "4"}, "Expected EPOCHS to be a number above 0, but got '4'"),
        ({"EPOCHS": True}, "Expected EPOCHS to be a number above 0, but got True"),
    ],
)
def test_a_bad_setting_is_named(tiny_cfg, settings, message):
    with pytest.raises(ValueError, match=message):
        with_settings(tiny_cfg, settings, 10)


@pytest.mark.parametrize(
    "key",
    [
        "MODEL.WEIGHTS",
        "MODEL.ROI_BOX_HEAD.FC_DIM",
        "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE",
        "INPUT.MIN_SIZE_TRAIN",
        "FEATURE_BANK.NUM_BACKGROUND",
        "SOLVER.AMP.ENABLED",
        "DATASETS.TRAIN",
        "SEED",
    ],
)
def test_a_row_cannot_set_what_features_depend_on(key):
    with pytest.raises(ValueError, match=f"{key} is the same for all rows"):
        check_keys(["SOLVER.BASE_LR", key])


def test_a_row_may_set_the_rest():
    check_keys(["EPOCHS", "SOLVER.BASE_LR", "SOLVER.META.NAME", "TEST.CALIBRATION.NAME"])
    check_keys(["MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "MODEL.ROI_BOX_HEAD.CLASSIFIER.REINIT"])
    check_keys(["FEATURE_BANK.ROI_SAMPLER", "DATALOADER.SAMPLER_TRAIN"])
