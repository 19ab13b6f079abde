"""The contract of a loss: its parameters, its config node, losses from outside lt_det."""

import pytest
import torch
from contract import (
    K,
    R,
    beside,
    check_finite,
    every_loss,
    every_variant,
    inputs,
    mask_of,
    parameters,
)
from detectron2.config import get_cfg

from lt_det.config import add_lt_det_config
from lt_det.losses import BOX_CLS_LOSS_REGISTRY, BoxClsLoss
from lt_det.modeling.build import build_box_cls_loss
from lt_det.registry import hyper_parameters, node_name

# --- parameters --------------------------------------------------------------------------------


@every_loss
def test_number_of_classes_is_checked(cls):
    with pytest.raises(ValueError, match=r"`num_classes`.*0"):
        cls(0)


def fingerprint(loss: BoxClsLoss) -> list:
    """All a loss does, in numbers."""
    torch.manual_seed(0)
    # Class by class, so that other numbers of logits have the same first ones.
    logits = torch.randn(2 * loss.num_logits, R, dtype=torch.float64)[: loss.num_logits].T
    facts = [loss.num_logits, loss.init_bias(), loss.predict_probs(logits).tolist()]
    # All classes, and one of them.
    for labels in (range(loss.num_classes + 1), [2, loss.num_classes]):
        gt_classes = torch.tensor(labels).repeat(R)[:R]
        mask = mask_of(loss, gt_classes)
        loss.update_state(logits, gt_classes)
        facts.append(loss(logits, gt_classes, mask).tolist())
        facts.append(None if mask is None else mask.tolist())
    return facts


@every_loss
def test_every_parameter_changes_something(cls, class_stats):
    for name, (value, _) in parameters(cls).items():
        others = beside(cls, name)
        default = fingerprint(cls(K, class_stats, **others))
        changed = {**others, name: value}
        assert fingerprint(cls(K, class_stats, **changed)) != default, name


@every_loss
def test_every_invalid_value_is_named(cls, class_stats):
    for name, (_, invalid) in parameters(cls).items():
        for value in invalid:
            with pytest.raises(ValueError, match=f"`{name}`.*{value}"):
                cls(K, class_stats, **{name: value})


@every_loss
def test_config_node_has_the_keyword_only_parameters(cls):
    cfg = get_cfg()
    add_lt_det_config(cfg)
    node = cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS[node_name(cls, "Loss")]
    assert dict(node) == {n.upper(): v for n, v in hyper_parameters(cls).items()}


@every_variant
def test_is_built_from_the_config(cls, hyper, class_stats):
    cfg = get_cfg()
    add_lt_det_config(cfg)
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = K
    cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = cls.__name__
    for name, value in hyper.items():
        key = f"MODEL.ROI_BOX_HEAD.CLS_LOSS.{node_name(cls, 'Loss')}.{name.upper()}"
        cfg.merge_from_list([key, str(value) if isinstance(value, str) else value])
    loss = build_box_cls_loss(cfg, class_stats)
    assert type(loss) is cls
    assert fingerprint(loss) == fingerprint(cls(K, class_stats, **hyper))


# --- a loss of somebody else -------------------------------------------------------------------


@pytest.fixture
def outside_loss():
    class ShiftedMarginLoss(BoxClsLoss):
        """A complete loss in eight lines, with the base's defaults for the rest."""

        def __init__(self, num_classes, class_stats=None, *, margin: float = 0.5, name: str = "a"):
            super().__init__(num_classes, class_stats)
            self.margin, self.name = margin, name

        def forward(self, logits, gt_classes, mask=None):
            target = logits.gather(1, gt_classes[:, None])[:, 0]
            return (self.margin + logits.mean(dim=1) - target).relu()

    BOX_CLS_LOSS_REGISTRY.register(ShiftedMarginLoss)
    yield ShiftedMarginLoss
    BOX_CLS_LOSS_REGISTRY._obj_map.pop("ShiftedMarginLoss")


def test_outside_loss_gets_its_keys_and_is_built(outside_loss, class_stats):
    cfg = get_cfg()
    add_lt_det_config(cfg)
    node = cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.SHIFTED_MARGIN
    assert dict(node) == {"MARGIN": 0.5, "NAME": "a"}
    cfg.merge_from_list(
        [
            *("MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "ShiftedMarginLoss"),
            *("MODEL.ROI_BOX_HEAD.CLS_LOSS.SHIFTED_MARGIN.MARGIN", "0.25"),
            *("MODEL.ROI_HEADS.NUM_CLASSES", 4),
        ]
    )
    loss = build_box_cls_loss(cfg, class_stats)
    assert isinstance(loss, outside_loss)
    assert loss.margin == 0.25
    assert loss.class_stats.value() == class_stats
    assert loss.num_logits == 5
    assert loss.init_bias() == 0
    check_finite(loss, *inputs(loss))


def test_outside_loss_registered_too_late_says_so(class_stats):
    cfg = get_cfg()
    add_lt_det_config(cfg)

    @BOX_CLS_LOSS_REGISTRY.register()
    class LateLoss(BoxClsLoss):
        """Registered after the config was made."""

    try:
        cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = "LateLoss"
        with pytest.raises(ValueError, match=r"LateLoss.*before.*add_lt_det_config"):
            build_box_cls_loss(cfg, class_stats)
    finally:
        BOX_CLS_LOSS_REGISTRY._obj_map.pop("LateLoss")


def test_parameter_without_a_default_is_refused():
    @BOX_CLS_LOSS_REGISTRY.register()
    class NoDefaultLoss(BoxClsLoss):
        """Has a hyper-parameter without a default."""

        def __init__(self, num_classes, class_stats=None, *, gamma):
            super().__init__(num_classes, class_stats)

    try:
        with pytest.raises(ValueError, match=r"NoDefaultLoss.*\['gamma'\]"):
            add_lt_det_config(get_cfg())
    finally:
        BOX_CLS_LOSS_REGISTRY._obj_map.pop("NoDefaultLoss")


def test_unknown_loss_lists_what_exists(class_stats):
    cfg = get_cfg()
    add_lt_det_config(cfg)
    cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = "BalancedSoftmax"
    expected = "CLS_LOSS.NAME 'BalancedSoftmax'.*BalancedSoftmaxLoss.*SoftmaxLoss"
    with pytest.raises(ValueError, match=expected):
        build_box_cls_loss(cfg, class_stats)


def test_base_has_no_forward():
    with pytest.raises(NotImplementedError):
        BoxClsLoss(3)(torch.zeros(1, 4), torch.zeros(1, dtype=torch.long))
