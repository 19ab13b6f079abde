"""A toy bilevel problem, its optimisers, and lt_det's hypergradient of it."""

import itertools
from dataclasses import dataclass, replace

import pytest
import torch
from contract import mask_of
from detectron2.config import get_cfg
from detectron2.solver import build_optimizer
from torch import nn

from lt_det.engine.bilevel.hypergradient import (
    classifier_gradient,
    classifier_logits,
    loss_and_gradient,
    outer_gradient,
    roi_hypergradient,
    trainable_parameters,
)
from lt_det.engine.bilevel.look_ahead import GradientClip, LookAhead
from lt_det.losses import BalancedSoftmaxLoss, BoxClsLoss
from lt_det.modeling.classifiers.base import CLASSIFIER_REGISTRY

K, D, M = 4, 5, 10
LR = 0.3
# Large, because with a small one the first step is the gradient's sign: finite differences see
# its jump, not its slope.
ADAMW_EPS = 0.1

CLASSIFIERS = [
    (cls, {}) for _, cls in CLASSIFIER_REGISTRY if cls.__module__.startswith("lt_det.")
] + [(CLASSIFIER_REGISTRY.get("CosineClassifier"), {"learned_scale": True})]
every_classifier = pytest.mark.parametrize(
    ("classifier", "settings"),
    CLASSIFIERS,
    ids=[f"{cls.__name__}{settings or ''}" for cls, settings in CLASSIFIERS],
)


@dataclass(frozen=True)
class Options:
    """Settings of the optimiser. ``clip`` is (type, norm) at half of what is to be clipped."""

    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    weight_decay_bias: float | None = None
    bias_lr_factor: float = 1.0
    maximize: bool = False
    clip: tuple[str, float] | None = None
    clip_at: float = 0.5
    adamw: bool = False
    steps_before: int = 2


_ALL = Options(
    momentum=0.9,
    nesterov=True,
    weight_decay=0.03,
    weight_decay_bias=0.2,
    bias_lr_factor=2.0,
)
OPTIONS = {
    "sgd": Options(),
    "momentum": Options(momentum=0.9),
    "momentum-first-step": Options(momentum=0.9, steps_before=0),
    "dampening": Options(momentum=0.9, dampening=0.3),
    "dampening-first-step": Options(momentum=0.9, dampening=0.3, steps_before=0),
    "nesterov": Options(momentum=0.8, nesterov=True),
    "nesterov-first-step": Options(momentum=0.8, nesterov=True, steps_before=0),
    "weight-decay": Options(weight_decay=0.1),
    "weight-decay-bias": Options(weight_decay=0.1, weight_decay_bias=0.4),
    "bias-lr": Options(bias_lr_factor=2.0),
    "maximize": Options(momentum=0.9, maximize=True),
    "clip-value": Options(clip=("value", 2.0)),
    "clip-norm": Options(clip=("norm", 2.0)),
    "clip-norm-1": Options(clip=("norm", 1.0)),
    "clip-norm-inf": Options(clip=("norm", float("inf"))),
    "clip-norm-not-reached": Options(clip=("norm", 2.0), clip_at=1.5),
    "clip-full-model": Options(clip=("full_model", 2.0)),
    "all-clip-value": replace(_ALL, clip=("value", 2.0)),
    "all-clip-norm": replace(_ALL, clip=("norm", 2.0)),
    "all-clip-full-model": replace(_ALL, clip=("full_model", 2.0)),
    "adamw": Options(adamw=True, weight_decay=0.1, bias_lr_factor=2.0),
    "adamw-first-step": Options(adamw=True, steps_before=0),
    "adamw-clip-norm": Options(adamw=True, clip=("norm", 2.0)),
}


def every_two(losses):
    """Every two of loss, classifier and optimiser options meet; all threes would be too many.

    A loss enters by the derivatives of its rows, a classifier by its Jacobian, the options by what
    they make of a gradient: none of the three knows more of another than that.

    Args:
        losses: (class, parameters) each.
    """
    linear, balanced = CLASSIFIERS[0], (BalancedSoftmaxLoss, {})
    cases = [
        *((loss, linear, option) for loss in losses for option in OPTIONS),
        *((loss, other, "all-clip-norm") for loss in losses for other in CLASSIFIERS[1:]),
        *((balanced, other, option) for other in CLASSIFIERS[1:] for option in OPTIONS),
    ]
    unique = {
        f"{loss[0].__name__}{loss[1] or ''}-{other[0].__name__}{other[1] or ''}-{option}": (
            *loss,
            *other,
            option,
        )
        for loss, other, option in cases
    }
    names = ("cls", "hyper", "classifier", "settings", "option")
    return pytest.mark.parametrize(names, unique.values(), ids=unique.keys())


@dataclass
class Stage:
    """One head: its classifier, both batches and the weights of the first."""

    classifier: nn.Module
    loss: BoxClsLoss
    outer_loss: BoxClsLoss
    features: torch.Tensor
    gt_classes: torch.Tensor
    weights: torch.Tensor
    meta_features: torch.Tensor
    meta_gt_classes: torch.Tensor
    mask: torch.Tensor | None = None

    @property
    def parameters(self):
        return trainable_parameters(self.classifier)


def plain_loss(loss: BoxClsLoss) -> BoxClsLoss:
    """The plain loss of the layout, or where it has none the loss itself."""
    try:
        return loss.plain()
    except ValueError:
        return loss


def make_stage(loss: BoxClsLoss, classifier, num_rois=12, outer="plain", **hyper) -> Stage:
    layer = classifier(D, loss.num_logits, loss.num_classes, **hyper).double()
    layer.reset(loss.init_bias())
    with torch.no_grad():
        layer.weight.copy_(0.5 * torch.randn(layer.weight.shape))
        layer.bias.add_(0.1 * torch.randn(layer.bias.shape))
        for name, parameter in layer.named_parameters():
            if name.startswith("foreground_map."):  # neutral, some of its gradients would be 0
                parameter.add_(torch.randn(parameter.shape))
    gt_classes = torch.arange(num_rois) % (K + 1)
    return Stage(
        classifier=layer,
        loss=loss,
        outer_loss=plain_loss(loss) if outer == "plain" else loss,
        features=torch.randn(num_rois, D, dtype=torch.float64),
        gt_classes=gt_classes,
        weights=0.3 + torch.rand(num_rois, dtype=torch.float64),
        meta_features=torch.randn(M, D, dtype=torch.float64),
        meta_gt_classes=torch.arange(1, M + 1) % (K + 1),
        mask=mask_of(loss, gt_classes),
    )


def make_optimizer(stages, options: Options):
    """The live optimiser, some steps in, and its clipping."""
    model = nn.ModuleList([stage.classifier for stage in stages])
    clip = _clip(stages, options)
    if options.adamw:
        groups = build_optimizer(_solver(options), model).param_groups
        keys = ("params", "lr", "weight_decay")
        groups = [{key: group[key] for key in keys} for group in groups]
        optimizer = torch.optim.AdamW(groups, eps=ADAMW_EPS)
        if clip is not None:
            optimizer = _with_clip(torch.optim.AdamW, clip)(groups, eps=ADAMW_EPS)
    elif options.clip is not None and options.clip[0] == "full_model":
        unclipped = build_optimizer(_solver(options), model)
        optimizer = _with_clip(torch.optim.SGD, clip)(unclipped.param_groups)
    else:
        optimizer = build_optimizer(_solver(options, clip), model)
    for group in optimizer.param_groups:
        group["maximize"] = options.maximize
        if not options.adamw:
            group["dampening"] = options.dampening
    for _ in range(options.steps_before):
        for parameter in itertools.chain(*(group["params"] for group in optimizer.param_groups)):
            parameter.grad = 0.1 * torch.randn_like(parameter)
        optimizer.step()
    optimizer.zero_grad()
    return optimizer, clip


def _solver(options: Options, clip: GradientClip | None = None):
    cfg = get_cfg()
    cfg.SOLVER.BASE_LR = LR
    cfg.SOLVER.MOMENTUM = options.momentum
    cfg.SOLVER.NESTEROV = options.nesterov
    cfg.SOLVER.WEIGHT_DECAY = options.weight_decay
    cfg.SOLVER.WEIGHT_DECAY_BIAS = options.weight_decay_bias
    cfg.SOLVER.BIAS_LR_FACTOR = options.bias_lr_factor
    if clip is not None:
        cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
        cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE = clip.clip_type
        cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE = clip.clip_value
        cfg.SOLVER.CLIP_GRADIENTS.NORM_TYPE = clip.norm_type
    return cfg


def _with_clip(optimizer_class, clip: GradientClip):
    """Per parameter as Detectron2 does, or of all parameters as Detic and CenterNet2 do."""

    class Clipped(optimizer_class):
        def step(self, closure=None):
            parameters = list(itertools.chain(*(group["params"] for group in self.param_groups)))
            alone = [[parameter] for parameter in parameters]
            for together in [parameters] if clip.clip_type == "full_model" else alone:
                nn.utils.clip_grad_norm_(together, clip.clip_value, clip.norm_type)
            return super().step(closure)

    return Clipped


def _clip(stages, options: Options) -> GradientClip | None:
    """Clipping that certainly bites, whatever the size of this problem's gradients."""
    if options.clip is None:
        return None
    kind, norm_type = options.clip
    gradients = [g for stage in stages for g in inner_gradients(stage)]
    sizes = [g.abs().max() if kind == "value" else g.norm(norm_type) for g in gradients]
    # By value, half of the smallest could leave no element as it is.
    bites_all = options.clip_at < 1 and kind != "value"
    size = min(sizes) if bites_all else max(sizes)
    return GradientClip(kind, options.clip_at * float(size), norm_type)


def inner_gradients(stage: Stage, parameters=None, create_graph=False):
    parameters = stage.parameters if parameters is None else parameters
    logits = torch.func.functional_call(stage.classifier, parameters, (stage.features,))
    losses = stage.loss(logits, stage.gt_classes, stage.mask)
    total = (stage.weights * losses).sum() / len(losses)
    return torch.autograd.grad(total, list(parameters.values()), create_graph=create_graph)


def hypergradients(stages, optimizer, clip) -> list[torch.Tensor]:
    """The hypergradient of every stage's RoIs, in the order the trainer calls things."""
    parameters = {(k, n): p for k, s in enumerate(stages) for n, p in s.parameters.items()}
    look_ahead = LookAhead.from_optimizer(optimizer, parameters, clip)
    deltas, gradients, gamma = [], {}, {}
    for k, stage in enumerate(stages):
        logits = classifier_logits(stage.classifier, stage.parameters, stage.features)
        _, delta = loss_and_gradient(stage.loss, logits, stage.gt_classes, stage.mask)
        deltas.append(delta)
        gradient = classifier_gradient(
            stage.classifier, stage.parameters, stage.features, delta, stage.weights, len(delta)
        )
        gradients.update({(k, name): g for name, g in gradient.items()})
    ahead = look_ahead(parameters, gradients)
    for k, stage in enumerate(stages):
        _, outer = outer_gradient(
            stage.classifier,
            {name: ahead[k, name] for name in stage.parameters},
            stage.meta_features,
            stage.meta_gt_classes,
            stage.outer_loss,
            M,
        )
        gamma.update({(k, name): g for name, g in outer.items()})
    direction = look_ahead.pull_back(parameters, gradients, gamma)
    return [
        roi_hypergradient(
            stage.classifier,
            stage.parameters,
            stage.features,
            delta,
            {name: direction[k, name] for name in stage.parameters},
            len(delta),
        )
        for k, (stage, delta) in enumerate(zip(stages, deltas, strict=True))
    ]
