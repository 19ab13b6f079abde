"""Augmentations in a training: held-out losses, several processes, resume, on a feature bank."""

import copy

import pytest
import torch
import torch.nn.functional as F
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from toy_augmentations import D, K, predictor_of, proposals_of
from toy_stage1 import frozen_stage1
from two_processes import assert_close, classifiers, final, in_two_processes, train, train_rank

from lt_det.bank.extract_training_set import build_feature_bank
from lt_det.class_stats import ClassStats
from lt_det.compare.studies.decoupled import train_on_bank
from lt_det.data.datasets.training_sets import training_dicts
from lt_det.data.loaders import build_train_loader
from lt_det.engine.checkpoint import LTCheckpointer
from lt_det.engine.feature_adaptation import FeatureAdaptation, adapt
from lt_det.engine.trainer import LTTrainer
from lt_det.losses import DropLoss, SigmoidLoss, SoftmaxLoss
from lt_det.modeling import FASAAugmentation, FeatureMemoryAugmentation
from lt_det.modeling.feature_augmentations.base import FeatureAugmentation
from lt_det.modeling.roi_recorder import RoIs
from lt_det.utils.distributed import sum_over_ranks, world_size

pytestmark = pytest.mark.integration

STATS = ClassStats(K, 9, [5, 4, 3, 1], [9, 6, 3, 1])


class NotesLosses(FeatureAugmentation):
    """Keeps what it is to adapt to."""

    def adapt(self, class_losses, class_stats):
        self.noted = class_losses


def fasa_cfg(cfg):
    """FASA that draws from the second step on and adapts every third."""
    node = cfg.MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION
    node.NAME, node.PERIOD = "FASAAugmentation", 3
    node.FASA.WARMUP, node.FASA.DRAWS, node.FASA.GROUPS = 1, 4, "class"
    cfg.DATASETS.HOLDOUT = 0.5
    return cfg


# --- losses on held-out pictures ---------------------------------------------------------------


def test_class_losses_by_hand():
    predictors = [predictor_of(SoftmaxLoss(K), NotesLosses(K, D)) for _ in range(2)]
    batches = []
    for labels in ([0, 4, 1, 0], [4, 1], []):
        gt_classes = torch.tensor(labels, dtype=torch.long)
        batches.append([RoIs(torch.randn(len(labels), D), gt_classes, [len(labels)])] * 2)
    adapt(predictors, batches)
    for predictor in predictors:
        features = torch.cat([rois.features for rois, _ in batches])
        losses = F.cross_entropy(
            predictor.cls_score(features), torch.tensor([0, 4, 1, 0, 4, 1]), reduction="none"
        )
        expected = torch.stack([losses[0] + losses[3], losses[2] + losses[5]]) / 6
        noted = predictor.feature_augmentation.noted
        torch.testing.assert_close(noted[:2].float(), expected)
        assert noted[2:].tolist() == [0, 0]


def test_class_losses_use_the_lists_of_the_pictures():
    """Classes 0 and 2 are the negatives that the picture was searched for."""
    predictor = predictor_of(SigmoidLoss(K, only_known_negatives=True), NotesLosses(K, D))
    known_negatives = torch.tensor([[True, False, True, False]] * 3)
    labels = torch.tensor([0, 1, 1])
    rois = RoIs(torch.randn(3, D), labels, [3], known_negatives=known_negatives)
    adapt([predictor], [[rois]])
    u = predictor.cls_score(rois.features)
    expected = [
        F.softplus(-u[0, 0]) + F.softplus(u[0, 2]),
        (F.softplus(-u[1:, 1]) + F.softplus(u[1:, [0, 2]]).sum(dim=1)).sum(),
    ]
    noted = predictor.feature_augmentation.noted
    torch.testing.assert_close(noted[:2].float(), torch.stack(expected) / 3)


# Three batches of two RoIs.
BATCHES = torch.arange(6.0 * D).reshape(3, 2, D) / 50 - 0.3


def _noted(batches):
    """The losses of foreground RoIs of classes 0 and 3, by a loss that asks all ranks."""
    predictor = predictor_of(DropLoss(K, STATS, threshold=0.4), NotesLosses(K, D))
    adapt([predictor], ([RoIs(features, torch.tensor([0, 3]), [2])] for features in batches))
    return predictor.feature_augmentation.noted


def _noted_on_rank(rank, path):
    torch.save(_noted(BATCHES[:2] if rank == 0 else BATCHES[2:]), path.with_suffix(f".{rank}"))


def test_ranks_may_have_different_numbers_of_batches(tmp_path):
    in_two_processes(_noted_on_rank, tmp_path, tmp_path / "noted")
    for rank in range(2):
        found = torch.load(tmp_path / f"noted.{rank}", weights_only=True)
        torch.testing.assert_close(found, _noted(BATCHES))


@pytest.mark.parametrize("heads", ["LTStandardROIHeads", "LTCascadeROIHeads"])
def test_an_evaluation_leaves_no_trace_but_the_adaptation(tiny_cfg, heads):
    tiny_cfg.MODEL.ROI_HEADS.NAME = heads
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG = True
    fasa_cfg(tiny_cfg)
    model = build_model(tiny_cfg).train()
    before = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    hook = FeatureAdaptation(tiny_cfg, model, build_train_loader(tiny_cfg))
    hook.trainer = type("Trainer", (), {"iter": 2})
    with EventStorage() as storage:
        hook.after_step()
    assert not storage.latest()
    assert [module.training for module in model.modules()] == modes
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    changed = {
        name.rsplit(".", 1)[-1]
        for name, value in model.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == {"last_losses"}
    # RoIs and augmentation are the same every time, so the losses are too.
    first = copy.deepcopy(model.state_dict())
    hook.after_step()
    for name, value in model.state_dict().items():
        assert value.equal(first[name]), name


def test_a_loader_without_held_out_pictures_is_refused(tiny_cfg):
    with pytest.raises(ValueError, match=r"list has none: use lt_det\.data\.loaders"):
        FeatureAdaptation(fasa_cfg(tiny_cfg), build_model(tiny_cfg), [])


# --- trainings ---------------------------------------------------------------------------------


def state(output) -> dict[str, torch.Tensor]:
    return {n: v for n, v in final(output).items() if "feature_augmentation." in n}


def assert_same_state(output, expected, **tolerance):
    ours, theirs = state(output), state(expected)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], equal_nan=True, **tolerance)


def test_fasa_in_two_processes_equals_one(unequal_stage_two, tmp_path):
    fasa_cfg(unequal_stage_two)
    train(unequal_stage_two, tmp_path / "one")
    in_two_processes(train_rank, tmp_path, unequal_stage_two, tmp_path / "two", False, None)
    assert_close(tmp_path / "two", tmp_path / "one")
    assert_same_state(tmp_path / "two", tmp_path / "one", rtol=1e-4, atol=1e-6)
    (factor,) = (v for n, v in state(tmp_path / "one").items() if n.endswith(".factor"))
    assert factor.ne(1).any()


METHODS = {
    "fasa": lambda: FASAAugmentation(K, D, warmup=0, draws=3, scale=0.9),
    "memory": lambda: FeatureMemoryAugmentation(K, D, size=3),
}
LABELS = [0, 4, 3, 4, 1, 4, 0, 2, 2, 4]


def _steps(name, share):
    """Five steps on fixed RoIs, of which a process has a share; what comes out."""
    predictor = predictor_of(SoftmaxLoss(K, STATS), METHODS[name]())
    optimizer = torch.optim.SGD(predictor.cls_score.parameters(), lr=0.3)
    for step in range(5):
        torch.manual_seed(step)
        features = torch.randn(len(LABELS), D)[share]
        with EventStorage():
            losses = predictor.losses(predictor(features), proposals_of(LABELS[share]))
        optimizer.zero_grad()
        losses["loss_cls"].backward()
        for parameter in predictor.cls_score.parameters():
            # What DDP does.
            parameter.grad = sum_over_ranks(parameter.grad) / world_size()
        optimizer.step()
    state = predictor.state_dict()
    return {key: value for key, value in state.items() if "bbox_pred" not in key}


def _steps_on_rank(rank, path):
    share = slice(0, 3) if rank == 0 else slice(3, None)
    torch.save({name: _steps(name, share) for name in METHODS}, path.with_suffix(f".{rank}"))


def test_fixed_rois_in_two_processes_equal_one(tmp_path):
    in_two_processes(_steps_on_rank, tmp_path, tmp_path / "state")
    for rank in range(2):
        found = torch.load(tmp_path / f"state.{rank}", weights_only=True)
        for name in METHODS:
            expected = _steps(name, slice(None))
            assert found[name].keys() == expected.keys()
            for key, value in expected.items():
                torch.testing.assert_close(found[name][key], value, equal_nan=True)


@pytest.mark.parametrize("name", ["FASAAugmentation", "FeatureMemoryAugmentation"])
def test_a_resumed_training_ends_as_one_that_was_not_stopped(unequal_stage_two, tmp_path, name):
    fasa_cfg(unequal_stage_two).MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION.NAME = name
    unequal_stage_two.SOLVER.CHECKPOINT_PERIOD = 7
    train(unequal_stage_two, tmp_path / "one")
    train(unequal_stage_two, tmp_path / "other", stop=7)
    train(unequal_stage_two, tmp_path / "other", resume=True)
    assert_same_state(tmp_path / "other", tmp_path / "one", rtol=0, atol=0)
    for key, value in classifiers(tmp_path / "other").items():
        assert value.equal(classifiers(tmp_path / "one")[key])


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("FASAAugmentation", "SoftmaxLoss"),
        ("FeatureMemoryAugmentation", "SoftmaxLoss"),
        ("FASAAugmentation", "SigmoidLoss"),
    ],
)
def test_on_a_bank_as_in_the_detector(tiny_cfg, tmp_path, name, loss):
    cfg = fasa_cfg(frozen_stage1(tiny_cfg, tmp_path))
    cfg.MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION.NAME = name
    cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = loss
    # Of the K + 1 logits of stage 1, with LVIS's lists.
    cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.SIGMOID.BACKGROUND_COLUMN = True
    cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.SIGMOID.ONLY_KNOWN_NEGATIVES = True
    # What the memory keeps goes by the order of RoIs, so no rounding may change a draw.
    cfg.MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION.FEATURE_MEMORY.DTYPE = "float32"
    trainer = LTTrainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    stage1 = build_model(cfg)
    LTCheckpointer(stage1).load(cfg.MODEL.WEIGHTS)
    bank = build_feature_bank(cfg, stage1, tmp_path / "bank")
    model = train_on_bank(cfg, bank, training_dicts(cfg))
    ours = model.roi_heads.box_predictor.state_dict()
    theirs = trainer.model.roi_heads.box_predictor.state_dict()
    before = stage1.roi_heads.box_predictor.state_dict()
    for key in ("cls_score.weight", "cls_score.bias"):
        moved = float((theirs[key] - before[key]).abs().max())
        assert moved > 1e-3
        torch.testing.assert_close(ours[key], theirs[key], rtol=1e-4, atol=1e-4 * moved)
    for key in (key for key in ours if "feature_augmentation" in key):
        torch.testing.assert_close(ours[key], theirs[key], rtol=1e-3, atol=1e-5, equal_nan=True)
    if name == "FASAAugmentation":
        assert ours["feature_augmentation.factor"].ne(1).any()
