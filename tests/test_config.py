"""add_lt_det_config and check_config: keys, defaults, contradictions."""

import logging

import pytest
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from torch import nn

from lt_det.config import add_lt_det_config, check_config
from lt_det.engine.trainer import check_box_predictors
from lt_det.losses import BOX_CLS_LOSS_REGISTRY, SigmoidLoss, SoftmaxLoss
from lt_det.modeling import LTFastRCNNOutputLayers
from lt_det.registry import kwargs_from_node, node_name

# Every key lt_det adds, one parent a line. Detectron2's own keys are not redefined.
ADDED = {
    "MODEL.ROI_BOX_HEAD": {"CLS_LOSS", "CLASSIFIER"},
    "DATASETS": {"CLASS_STATS_FILE", "GROUP_THRESHOLDS"},
    "DATALOADER": {"REPEAT_CORRECTED", "CLASS_AWARE"},
    "SOLVER": {"TRAINABLE_PARAMS", "GRADIENT_RATIO"},
    "SOLVER.AMP": {"PRECISION"},
    "TEST": {
        *("BOUNDARY_DILATION", "CALIBRATION", "DETECTIONS_PER_CLASS", "ERROR_ANALYSIS"),
        *("GROUPS_FILE", "LVIS_BACKEND", "SAVE_PREDICTIONS"),
    },
}


@pytest.fixture
def cfg():
    cfg = get_cfg()
    add_lt_det_config(cfg)
    return cfg


def at(cfg, key):
    for name in key.split("."):
        cfg = cfg[name]
    return cfg


def differences(stock, ours, prefix=""):
    """Keys of ``ours`` that ``stock`` lacks or has with another value."""
    for key, value in ours.items():
        name = f"{prefix}.{key}" if prefix else key
        if key not in stock:
            yield name
        elif isinstance(value, dict):
            yield from differences(stock[key], value, name)
        elif stock[key] != value:
            yield f"{name} (changed)"


def test_only_adds_keys(cfg):
    stock = get_cfg()
    found = set(differences(stock, cfg))
    expected = {f"{parent}.{key}" for parent, keys in ADDED.items() for key in keys}
    assert found >= expected
    assert not [name for name in found if name.endswith("(changed)")]


def test_defaults_leave_detectron2_as_it_is(cfg):
    assert cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME == "SoftmaxLoss"
    assert cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.WEIGHT == 1.0
    assert cfg.MODEL.ROI_BOX_HEAD.CLASSIFIER.NAME == "LinearClassifier"
    assert cfg.MODEL.ROI_BOX_HEAD.CLASSIFIER.REINIT is False
    assert cfg.DATASETS.CLASS_STATS_FILE == ""
    assert cfg.DATASETS.GROUP_THRESHOLDS == (10, 100)
    assert cfg.DATALOADER.REPEAT_CORRECTED is False
    assert cfg.SOLVER.TRAINABLE_PARAMS == ("*",)
    assert cfg.SOLVER.AMP.PRECISION == "float16"
    assert cfg.TEST.CALIBRATION.NAME == ""
    assert cfg.TEST.LVIS_BACKEND == "hotcoco"
    assert cfg.TEST.DETECTIONS_PER_CLASS == cfg.TEST.BOUNDARY_DILATION == 0
    check_config(cfg)


def test_two_configs_do_not_share_nodes(cfg):
    other = get_cfg()
    add_lt_det_config(other)
    cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.BALANCED_SOFTMAX.TAU = 0.5
    assert other.MODEL.ROI_BOX_HEAD.CLS_LOSS.BALANCED_SOFTMAX.TAU == 1.0


def test_survives_yaml(cfg, tmp_path):
    cfg.merge_from_list(
        [
            *("MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "BalancedSigmoidLoss"),
            *("MODEL.ROI_BOX_HEAD.CLS_LOSS.BALANCED_SIGMOID.COUNT_TYPE", "instance"),
            *("MODEL.ROI_BOX_HEAD.CLS_LOSS.BALANCED_SIGMOID.FG_ONLY", "False"),
            *("SOLVER.TRAINABLE_PARAMS", "('*cls_score*', '*bbox_pred*')"),
        ]
    )
    path = tmp_path / "config.yaml"
    path.write_text(cfg.dump())
    other = get_cfg()
    add_lt_det_config(other)
    other.merge_from_file(str(path))
    for parent, keys in ADDED.items():
        assert all(at(other, parent)[key] == at(cfg, parent)[key] for key in keys)
    assert other.SOLVER.TRAINABLE_PARAMS == ("*cls_score*", "*bbox_pred*")


def test_integer_for_a_float_is_refused_by_name(cfg):
    """yacs does not turn 2 into 2.0; at least it says which key it is."""
    with pytest.raises(ValueError, match=r"TAU.*float.*int|float.*int.*TAU"):
        cfg.merge_from_list(["MODEL.ROI_BOX_HEAD.CLS_LOSS.BALANCED_SOFTMAX.TAU", "2"])
    cfg.merge_from_list(["MODEL.ROI_BOX_HEAD.CLS_LOSS.BALANCED_SOFTMAX.TAU", "2.0"])


def test_misspelt_key_is_refused(cfg):
    with pytest.raises((KeyError, AssertionError), match="TUA"):
        cfg.merge_from_list(["MODEL.ROI_BOX_HEAD.CLS_LOSS.BALANCED_SOFTMAX.TUA", "2.0"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SIGMOID.VERIFIED_ONLY", "SIGMOID.ONLY_KNOWN_NEGATIVES"),
        ("FEDERATED.VERIFIED_ONLY", "FEDERATED.ONLY_KNOWN_NEGATIVES"),
        ("EQL.KEEP_VERIFIED", "EQL.KEEP_KNOWN_NEGATIVES"),
    ],
)
def test_a_key_of_an_earlier_version_is_refused_with_its_new_name(cfg, old, new):
    with pytest.raises(KeyError, match=rf"{old} was renamed to .*{new}"):
        cfg.clone().merge_from_list([f"MODEL.ROI_BOX_HEAD.CLS_LOSS.{old}", True])


@pytest.mark.parametrize(
    ("class_name", "suffix", "node"),
    [
        ("SoftmaxLoss", "Loss", "SOFTMAX"),
        ("BalancedSoftmaxLoss", "Loss", "BALANCED_SOFTMAX"),
        ("EQLv2Loss", "Loss", "EQLV2"),
        ("Seesaw", "Loss", "SEESAW"),
        ("ClassAwareTrainingSampler", "TrainingSampler", "CLASS_AWARE"),
        ("MARCClassifier", "Classifier", "MARC"),
        ("NorCalCalibration", "Calibration", "NOR_CAL"),
    ],
)
def test_node_names(class_name, suffix, node):
    assert node_name(type(class_name, (), {}), suffix) == node


def test_arguments_of_a_class_without_its_own_constructor():
    class Base:
        def __init__(self, *, gamma: float = 2.0):
            self.gamma = gamma

    class Derived(Base):
        pass

    assert kwargs_from_node({"DERIVED": {"GAMMA": 3.0}}, Derived, "") == {"gamma": 3.0}


# --- contradictions ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "BalancedSoftmaxLoss"),
        ("MODEL.ROI_BOX_HEAD.CLASSIFIER.NAME", "CosineClassifier"),
        ("MODEL.ROI_BOX_HEAD.CLASSIFIER.REINIT", True),
        ("TEST.CALIBRATION.NAME", "NorCalCalibration"),
    ],
)
def test_a_key_without_effect_on_the_model_is_refused(cfg, key, value):
    """The model counts, not the name of its ROI heads, which may be a user's own subclass."""
    cfg.MODEL.ROI_HEADS.NAME = "UsersOwnROIHeads"
    cfg.merge_from_list([key, value])
    stock = nn.Linear(1, 1)
    with pytest.raises(ValueError, match=rf"{key}.*'UsersOwnROIHeads'.*LTStandardROIHeads"):
        check_box_predictors(cfg, stock)
    ours = LTFastRCNNOutputLayers(
        ShapeSpec(channels=2),
        box2box_transform=Box2BoxTransform(weights=(1.0, 1.0, 1.0, 1.0)),
        num_classes=3,
        cls_loss=SoftmaxLoss(3),
    )
    check_box_predictors(cfg, nn.ModuleDict({"predictor": ours}))


def test_stock_heads_with_the_default_keys_are_fine(cfg):
    check_box_predictors(cfg, nn.Linear(1, 1))


@pytest.mark.parametrize("precision", ["float32", "half", ""])
def test_precision_is_checked(cfg, precision):
    cfg.SOLVER.AMP.PRECISION = precision
    with pytest.raises(ValueError, match=rf"SOLVER\.AMP\.PRECISION.*bfloat16.*'{precision}'"):
        check_config(cfg)


def test_unknown_lvis_backend_is_refused(cfg):
    cfg.TEST.LVIS_BACKEND = "coco"
    with pytest.raises(ValueError, match=r"TEST\.LVIS_BACKEND is 'coco'.*'lvis', 'hotcoco'"):
        check_config(cfg)


def test_metric_options_are_checked(cfg):
    cfg.TEST.DETECTIONS_PER_CLASS = -1
    with pytest.raises(ValueError, match=r"TEST\.DETECTIONS_PER_CLASS is -1"):
        check_config(cfg)


def test_thresholds_are_checked(cfg):
    cfg.DATASETS.GROUP_THRESHOLDS = (100, 10)
    with pytest.raises(ValueError, match=r"GROUP_THRESHOLDS.*\(100, 10\)"):
        check_config(cfg)


@pytest.mark.parametrize(
    ("loss", "sampler", "corrected", "warns"),
    [
        ("BalancedSoftmaxLoss", "ClassAwareTrainingSampler", False, True),
        ("BalancedSigmoidLoss", "ClassAwareTrainingSampler", False, True),
        ("BalancedSoftmaxLoss", "ClassAwareTrainingSampler", True, False),
        ("BalancedSoftmaxLoss", "TrainingSampler", False, False),
        ("SoftmaxLoss", "ClassAwareTrainingSampler", False, False),
    ],
)
def test_double_correction_warns(cfg, loss, sampler, corrected, warns, caplog):
    cfg.MODEL.ROI_HEADS.NAME = "LTStandardROIHeads"
    cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = loss
    cfg.DATALOADER.SAMPLER_TRAIN = sampler
    cfg.DATALOADER.REPEAT_CORRECTED = corrected
    with caplog.at_level(logging.WARNING, "lt_det"):
        check_config(cfg)
    assert bool(caplog.records) == warns
    assert not warns or "REPEAT_CORRECTED" in caplog.text


@pytest.mark.parametrize(
    ("loss", "calibration", "warns"),
    [
        ("BalancedSoftmaxLoss", "LogitAdjustmentCalibration", True),
        ("BalancedSigmoidLoss", "NorCalCalibration", True),
        ("ReweightedSoftmaxLoss", "TauNormCalibration", True),
        ("BalancedSoftmaxLoss", "", False),
        ("SoftmaxLoss", "NorCalCalibration", False),
    ],
)
def test_calibration_of_a_balanced_model_warns(cfg, loss, calibration, warns, caplog):
    cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = loss
    cfg.TEST.CALIBRATION.NAME = calibration
    with caplog.at_level(logging.WARNING, "lt_det"):
        check_config(cfg)
    assert bool(caplog.records) == warns
    assert not warns or "TEST.CALIBRATION.NAME ''" in caplog.text


@pytest.mark.parametrize(
    ("name", "taken"),
    [("NAMELoss", "NAME, where a key"), ("EqlLoss", "EQL, where EQLLoss")],
)
def test_a_class_never_takes_the_place_of_other_keys(monkeypatch, name, taken):
    cls = type(name, (SigmoidLoss,), {})
    registered = {**BOX_CLS_LOSS_REGISTRY._obj_map, name: cls}
    monkeypatch.setattr(BOX_CLS_LOSS_REGISTRY, "_obj_map", registered)
    with pytest.raises(ValueError, match=f"{name} would have its parameters below {taken} is"):
        add_lt_det_config(get_cfg())
