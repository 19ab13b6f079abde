"""Every YAML file of ``configs/`` is a model that can be built and says what it is."""

import functools
import re
from pathlib import Path

import pytest
from detectron2.data import MetadataCatalog
from shipped_configs import CONFIGS, LVIS, META, ROOT, build, load

from lt_det.config import check_config
from lt_det.modeling import LTCascadeROIHeads
from lt_det.modeling.find_predictors import box_predictors

every_config = pytest.mark.parametrize("name", CONFIGS)
# Loss and classifier of the methods whose names do not say them.
PARTS = {
    "crt": ("SoftmaxLoss", "LinearClassifier"),
    "lws": ("SoftmaxLoss", "LearnedScaleClassifier"),
    "marc": ("ReweightedSoftmaxLoss", "MARCClassifier"),
    "disalign": ("ReweightedSoftmaxLoss", "DisAlignClassifier"),
    "bags": ("BalancedGroupSoftmaxLoss", "LinearClassifier"),
    "seesaw": ("SeesawLoss", "CosineClassifier"),
    "seesaw_random": ("SeesawLoss", "CosineClassifier"),
    "seesaw_normed_mask": ("SeesawLoss", "CosineClassifier"),
    "seesaw_normed_mask_random": ("SeesawLoss", "CosineClassifier"),
    "loce": ("EquilibriumLoss", "LinearClassifier"),
    "softmax_eql": ("SoftmaxEQLLoss", "LinearClassifier"),
    "logit_adjustment": ("LogitAdjustmentLoss", "LinearClassifier"),
    "ldam": ("LDAMLoss", "CosineClassifier"),
    "ldam_drw": ("LDAMLoss", "CosineClassifier"),
    "class_balanced_softmax": ("ClassBalancedSoftmaxLoss", "LinearClassifier"),
    "equilibrium": ("EquilibriumLoss", "LinearClassifier"),
    "eql": ("EQLLoss", "LinearClassifier"),
    "eql_random": ("EQLLoss", "LinearClassifier"),
    "eqlv2": ("EQLv2Loss", "LinearClassifier"),
    "eqlv2_random": ("EQLv2Loss", "LinearClassifier"),
    "federated": ("FederatedLoss", "LinearClassifier"),
    "drop_loss": ("DropLoss", "LinearClassifier"),
    "gumbel_random": ("SigmoidLoss", "LinearClassifier"),
    "gol": ("DropLoss", "LinearClassifier"),
    "acsl": ("ACSLLoss", "LinearClassifier"),
    "focal": ("FocalLoss", "LinearClassifier"),
    "efl": ("EFLLoss", "LinearClassifier"),
    "ecm": ("ECMLoss", "CosineClassifier"),
}
# In stage 2 their classifier starts anew: it is of another width, kind or link than stage 1's.
REINIT = ("crt", "bags", "seesaw", "ldam", "ldam_drw", "eqlv2", "gol", "acsl", "ecm")
# The released configs of these have the normalised mask predictor, which their names do not say.
BUNDLED_MASK = ("ecm", "gol")
# The layers whose own weights are what trains, not a map of their logits.
WHOLE_LAYERS = ("LinearClassifier", "CosineClassifier")


def method_of(name: str) -> str:
    """``<model>_<method>[_1x|_2x][_stage2].yaml``."""
    return re.search(r"_(?:FPN|small)_(.+?)(?:_[12]x)?(?:_stage2)?$", Path(name).stem)[1]


def parts_of(name: str) -> tuple[str, str] | None:
    return PARTS.get(method_of(name))


def expected_loss(name: str) -> str:
    """The loss by the file's name, ``<model>_<method>.yaml``."""
    if parts_of(name):
        return parts_of(name)[0]
    balanced = "Balanced" if "_balanced_" in name else ""
    return f"{balanced}{'Sigmoid' if 'sigmoid' in name else 'Softmax'}Loss"


@every_config
def test_builds_what_its_name_says(name):
    cfg = load(name)
    check_config(cfg)
    model = build(cfg)
    trainable = {n for n, parameter in model.named_parameters() if parameter.requires_grad}
    layers = {type(p.cls_score).__name__ for p in box_predictors(model)}
    assert layers == {parts_of(name)[1] if parts_of(name) else "LinearClassifier"}
    is_whole = layers <= set(WHOLE_LAYERS)
    part = ".cls_score." if is_whole else ".cls_score.foreground_map."
    classifier = {n for n, _ in model.named_parameters() if part in n}
    classifier = {n for n in classifier if not n.endswith("cls_score.scale")}  # a constant
    predictors = list(box_predictors(model))
    assert {type(p.cls_loss).__name__ for p in predictors} == {expected_loss(name)}
    assert isinstance(model.roi_heads, LTCascadeROIHeads) == ("cascade" in name)
    assert len(predictors) == (3 if "cascade" in name else 1)
    assert (trainable == classifier) == ("stage2" in name)
    assert classifier <= trainable
    sampler = "ClassAwareTrainingSampler"
    class_aware = re.search("_(class_aware|square_root|crt|lws)_", name)
    assert (cfg.DATALOADER.SAMPLER_TRAIN == sampler) == bool(class_aware)
    assert cfg.MODEL.ROI_BOX_HEAD.CLASSIFIER.REINIT == (
        "stage2" in name and method_of(name) in REINIT
    )
    # On a map it would pull scales to 0.
    assert (cfg.SOLVER.WEIGHT_DECAY == 0) == (not is_whole)
    assert bool(cfg.SOLVER.META.NAME) == (name in META)


@every_config
def test_parts_beside_loss_and_classifier_are_those_of_the_name(name):
    cfg = load(name)
    augmentation = cfg.MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION.NAME
    expected = {"fasa": "FASAAugmentation", "loce": "FeatureMemoryAugmentation"}
    assert augmentation == expected.get(method_of(name).removesuffix("_random"), "")
    assert (cfg.DATASETS.HOLDOUT > 0) == (augmentation == "FASAAugmentation")
    is_normed = cfg.MODEL.ROI_MASK_HEAD.NAME == "NormedMaskRCNNConvUpsampleHead"
    assert is_normed == (
        "normed_mask" in name or (name in LVIS and method_of(name) in BUNDLED_MASK)
    )
    by_instances = cfg.DATALOADER.REPEAT_FREQUENCY == "image_and_instance"
    assert by_instances == (method_of(name) == "irfs")
    assert (cfg.DATALOADER.CLASS_AWARE.POWER == 0.5) == ("square_root" in name)
    if name in LVIS:
        is_uniform = cfg.DATALOADER.SAMPLER_TRAIN == "TrainingSampler"
        assert is_uniform == bool(re.search("_(random|loce)_", name))


@every_config
def test_header_has_the_command_that_runs_it(name):
    header = re.match(r"(?:#.*\n)+", (ROOT / name).read_text()).group()
    command = re.search(r"#   python (\S+) .*--config-file (\S+)", header)
    assert (ROOT / command[1]).is_file()
    assert command[2] == name


@functools.cache
def stage_1_outputs() -> set[str]:
    return {load(name).OUTPUT_DIR for name in CONFIGS if "stage2" not in name}


@every_config
def test_stage_2_starts_from_a_stage_1(name):
    cfg = load(name)
    if "stage2" not in name:
        assert "output" not in cfg.MODEL.WEIGHTS
    elif cfg.MODEL.WEIGHTS.startswith("output/"):
        assert str(Path(cfg.MODEL.WEIGHTS).parent) in stage_1_outputs()
        assert Path(cfg.MODEL.WEIGHTS).name == "model_final.pth"
    else:
        assert cfg.MODEL.WEIGHTS.startswith("detectron2://LVISv0.5")


def test_no_two_write_to_one_folder():
    folders = [load(name).OUTPUT_DIR for name in CONFIGS]
    assert len(set(folders)) == len(folders)


@pytest.mark.parametrize("name", LVIS)
def test_lvis_configs_fit_their_data_set(name):
    cfg = load(name)
    for data_set in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST):
        version = "lvis_v1_" if "LVISv1-" in name else "lvis_v0.5_"
        assert data_set.startswith(version)
        assert len(MetadataCatalog.get(data_set).thing_classes) == cfg.MODEL.ROI_HEADS.NUM_CLASSES
    header = (ROOT / name).read_text()
    assert "Not measured here." in header
    assert "Published: " in header or "No published figure" in header
    assert (cfg.TEST.DETECTIONS_PER_IMAGE, cfg.SOLVER.IMS_PER_BATCH) == (300, 16)


def test_lvis_v1_has_all_rows_of_v05():
    rows = {Path(name).stem for name in LVIS if "LVISv0.5-" in name}
    assert rows <= {Path(name).stem for name in LVIS if "LVISv1-" in name}
    assert len(rows) == 34
