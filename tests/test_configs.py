"""Every YAML file of ``configs/`` is a model that can be built and says what it is."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from detectron2.config import get_cfg
from detectron2.data import MetadataCatalog

from lt_det.compare.rows import Comparison
from lt_det.compare.settings import with_settings
from lt_det.config import add_lt_det_config, check_config
from lt_det.data.loaders import build_batch_plan
from lt_det.engine.freeze import freeze_parameters
from lt_det.engine.meta_trainer import build_meta_step
from lt_det.engine.trainer import LTTrainer
from lt_det.modeling import LTCascadeROIHeads
from lt_det.modeling.find_predictors import box_predictors

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "configs").rglob("*.yaml")
    if path.parent.name not in ("studies", "comparisons") and not path.name.startswith("Base-")
)
LVIS = [name for name in CONFIGS if "LVIS" in name]
META = [name for name in CONFIGS if "_meta_" in name]
every_config = pytest.mark.parametrize("name", CONFIGS)


def load(name: str):
    cfg = get_cfg()
    add_lt_det_config(cfg)
    cfg.merge_from_file(ROOT / name)
    cfg.MODEL.DEVICE = "meta"  # shapes without numbers: building is cheap
    return cfg


def build(cfg):
    """The model, with what ``SOLVER.TRAINABLE_PARAMS`` leaves to train."""
    with torch.device("meta"):
        model = LTTrainer.build_model(cfg)
    freeze_parameters(model, cfg.SOLVER.TRAINABLE_PARAMS)
    return model


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
    assert is_normed == ("normed_mask" in name)
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


@every_config
def test_stage_2_starts_from_a_stage_1(name):
    cfg = load(name)
    if "stage2" not in name:
        assert "output" not in cfg.MODEL.WEIGHTS
    elif cfg.MODEL.WEIGHTS.startswith("output/"):
        outputs = {load(other).OUTPUT_DIR for other in CONFIGS if "stage2" not in other}
        assert str(Path(cfg.MODEL.WEIGHTS).parent) in outputs
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


# --- BALMS -------------------------------------------------------------------------------------

# The outer loss, whether weights have a mean of 1 (the Meta Sampler has none), and Adam's rate.
META_SETTINGS = {
    "meta_reweighter": ("balanced", True, 0.01),
    "meta_reweighter_paper": ("plain", False, 0.001),
    "meta_sampler": ("plain", None, 0.01),
}
# Chosen on dev (docs/meta.md).
OPENMOJI_SETTINGS = {
    "meta_reweighter": ("plain", True, 0.003),
    "meta_sampler": ("plain", None, 0.01),
}


def meta_method(name: str) -> str:
    return re.search(r"_(meta_\w+)_stage2", name)[1]


def test_there_is_a_row_for_every_setting():
    assert {meta_method(name) for name in META if name in LVIS} == META_SETTINGS.keys()
    assert {meta_method(name) for name in META if name not in LVIS} == OPENMOJI_SETTINGS.keys()


@pytest.mark.parametrize("name", META)
def test_differs_from_its_control_in_the_meta_step_alone(name):
    control = yaml.safe_load((ROOT / name).read_text())["_BASE_"]
    assert Path(control).name == Path(name).name.replace(f"_{meta_method(name)}", "")
    ours, theirs = load(name), load(str(Path(name).with_name(control)))
    assert (theirs.SOLVER.META.NAME, "_balanced_" in control) == ("", True)
    for cfg in (ours, theirs):
        del cfg.SOLVER["META"], cfg["OUTPUT_DIR"]
    assert ours == theirs


@pytest.mark.parametrize("name", META)
def test_meta_step_is_what_the_name_says(name):
    cfg = load(name)
    model = build(cfg)
    # Two pictures in place of the data set; the stream of the Meta Sampler only looks at classes.
    records = [
        {"width": width, "height": 5, "annotations": [{"category_id": class_id}]}
        for class_id, width in enumerate((4, 6))
    ]
    plan = build_batch_plan(cfg, records, seed=0)
    step = build_meta_step(cfg, model, LTTrainer.build_optimizer(cfg, model), plan)

    settings = META_SETTINGS if name in LVIS else OPENMOJI_SETTINGS
    outer_loss, normalized, base_lr = settings[meta_method(name)]
    sampler = "meta_sampler" in name
    assert type(step.method).__name__ == ("MetaSampler" if sampler else "MetaReweighter")
    assert step.phi.shape == (cfg.MODEL.ROI_HEADS.NUM_CLASSES,)
    assert (cfg.SOLVER.META.OUTER_LOSS, step.adam.defaults["lr"]) == (outer_loss, base_lr)
    assert sampler or cfg.SOLVER.META.REWEIGHTER.NORMALIZED == normalized
    # Otherwise the loader refuses: its workers fetch that many batches ahead.
    assert cfg.SOLVER.META.SAMPLER.LAG >= cfg.DATALOADER.NUM_WORKERS
    if sampler:
        assert len(next(iter(plan))) == cfg.SOLVER.IMS_PER_BATCH


# --- comparisons -------------------------------------------------------------------------------

OPENMOJI = "configs/OpenMoji-InstanceSegmentation"
# A row of a comparison on features is the method of this config.
STAGE2 = {
    "softmax control": "softmax",
    "softmax control, class-aware": "softmax_class_aware",
    "cRT, class-aware": "crt",
    "LWS, class-aware": "lws",
    "MARC": "marc",
    "DisAlign": "disalign",
    "BAGS": "bags",
    "Balanced Softmax": "balanced_softmax",
    "BALMS, Meta Reweighter": "balanced_softmax_meta_reweighter",
    "BALMS, Meta Sampler": "balanced_softmax_meta_sampler",
    "sigmoid control": "sigmoid",
    "sigmoid control, class-aware": "sigmoid_class_aware",
    "Balanced Sigmoid": "balanced_sigmoid",
}
SOFTMAX_LOSSES = {
    "equilibrium loss": "equilibrium",
    "class-balanced weights": "class_balanced_softmax",
    "LDAM": "ldam",
    "Seesaw": "seesaw",
}
SIGMOID_LOSSES = {
    "ACSL": "acsl",
    "EQLv2": "eqlv2",
    "focal loss": "focal",
    "EFL": "efl",
    "ECM": "ecm",
    "verified negatives": "sigmoid_verified",
}
ROWS = [(f"{OPENMOJI}/comparisons/quick.yaml", *row) for row in STAGE2.items()]
ROWS += [("configs/comparisons/softmax_losses.yaml", *row) for row in SOFTMAX_LOSSES.items()]
ROWS += [("configs/comparisons/sigmoid_losses.yaml", *row) for row in SIGMOID_LOSSES.items()]


@pytest.mark.parametrize(("comparison", "row_name", "method"), ROWS)
def test_a_row_of_a_comparison_is_its_config(comparison, row_name, method):
    """But for the schedule and the rates, which each chooses on dev."""
    rows = Comparison.load(ROOT / comparison).rows
    (row,) = (row for row in rows if row.name == row_name)
    softmax = load(f"{OPENMOJI}/mask_rcnn_small_softmax.yaml")
    ours = with_settings(softmax, row.settings, num_pictures=100)
    theirs = load(f"{OPENMOJI}/mask_rcnn_small_{method}_stage2.yaml")
    # From a softmax detector, where the config starts from a sigmoid one.
    if "igmoid" in row_name or "sigmoid" in comparison:
        theirs.MODEL.ROI_BOX_HEAD.CLASSIFIER.REINIT = True
    ours.defrost()
    for cfg in (ours, theirs):
        del cfg["OUTPUT_DIR"], cfg.MODEL["WEIGHTS"], cfg.SOLVER.META["BASE_LR"]
        for key in ("BASE_LR", "MAX_ITER", "STEPS", "WARMUP_ITERS"):
            del cfg.SOLVER[key]
    assert ours.dump() == theirs.dump()
