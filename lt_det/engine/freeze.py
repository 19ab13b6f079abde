"""Stage 2 of decoupled training: which parameters train, and what frozen modules do."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Container, Iterator, Sequence
from fnmatch import fnmatchcase

from detectron2.engine import HookBase
from detectron2.modeling.proposal_generator import RPN
from detectron2.modeling.roi_heads import (
    BaseKeypointRCNNHead,
    BaseMaskRCNNHead,
    FastRCNNOutputLayers,
    ROIHeads,
)
from torch import nn

__all__ = ["FrozenModulesInEval", "FrozenProposals", "freeze_parameters", "frozen"]

logger = logging.getLogger(__name__)

_RETURN_LOSSES = (RPN, ROIHeads, BaseMaskRCNNHead, BaseKeypointRCNNHead, FastRCNNOutputLayers)
_NAMES = ("proposal_generator", "roi_heads", "mask_head", "keypoint_head", "sem_seg_head")


def freeze_parameters(model: nn.Module, trainable: Sequence[str]) -> None:
    """Let only the parameters whose names match one of the globs train.

    A parameter that the model itself keeps frozen (Detectron2's ``FREEZE_AT``) stays frozen under
    a glob that also matches others.

    Args:
        model: the model, before its optimiser is built.
        trainable: ``SOLVER.TRAINABLE_PARAMS``, ``fnmatch`` patterns over full parameter names.

    Raises:
        ValueError: if a glob matches no parameter, or nothing is left to train.
    """
    parameters = dict(model.named_parameters())
    for glob in trainable:
        if not any(fnmatchcase(name, glob) for name in parameters):
            raise ValueError(
                f"SOLVER.TRAINABLE_PARAMS: {glob!r} matches no parameter. Names look like "
                f"{_examples(list(parameters))}"
            )
    for name, parameter in parameters.items():
        if not any(fnmatchcase(name, glob) for glob in trainable):
            parameter.requires_grad_(False)
    names = [name for name, parameter in parameters.items() if parameter.requires_grad]
    if not names:
        raise ValueError(f"SOLVER.TRAINABLE_PARAMS {tuple(trainable)} leaves nothing to train")
    if len(names) < len(parameters):
        logger.info("Training %d of %d parameters: %s", len(names), len(parameters), names[:10])


class FrozenModulesInEval(HookBase):
    """Keep everything that is frozen in eval mode: norms, dropout, stochastic depth of any library.

    A frozen batch norm in training mode would still normalise by the batch and move its running
    statistics; dropout and DropPath would make the features of a frozen body random. Detectron2's
    evaluation puts the whole model back into training mode, so the mode is set again before every
    step. What asks for its mode to know what to return keeps it, see :func:`frozen_modules`.
    """

    def __init__(self, model: nn.Module):
        self._modules = frozen_modules(model)

    def before_step(self) -> None:
        """Set the mode."""
        for module in self._modules:
            module.eval()


class FrozenProposals(HookBase):
    """Spares a frozen RPN the losses of its training mode, which would be constants.

    During a step it is in eval mode, with the numbers of proposals of training.
    """

    def __init__(self, model: nn.Module):
        self._rpns = [
            module
            for module in model.modules()
            if isinstance(module, RPN) and not any(p.requires_grad for p in module.parameters())
        ]
        self._top_k = [(dict(rpn.pre_nms_topk), dict(rpn.post_nms_topk)) for rpn in self._rpns]

    def before_step(self) -> None:
        """Set mode and numbers."""
        for rpn, (before_nms, after_nms) in zip(self._rpns, self._top_k, strict=True):
            rpn.eval()
            rpn.pre_nms_topk = dict.fromkeys((True, False), before_nms[True])
            rpn.post_nms_topk = dict.fromkeys((True, False), after_nms[True])

    def after_step(self) -> None:
        """Set them back: an evaluation may follow."""
        for rpn, (before_nms, after_nms) in zip(self._rpns, self._top_k, strict=True):
            rpn.train()
            rpn.pre_nms_topk, rpn.post_nms_topk = dict(before_nms), dict(after_nms)


@contextlib.contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Inside, no parameter trains, so that branches without gradient are skipped.

    Afterwards parameters train, and modules have the mode, as before.
    """
    modes = [(module, module.training) for module in model.modules()]
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
        for module, training in modes:
            module.training = training


def frozen_modules(model: nn.Module) -> list[nn.Module]:
    """List the modules that belong to frozen parts, each with all that is inside it.

    A module with parameters is frozen if none of them trains. One without (dropout, a norm that is
    not affine) goes with the closest module around it that has some. Without any frozen parameter
    this is empty.

    Not among them are modules that return losses in training and predictions in evaluation: the
    detector, its proposal generator and ROI heads, mask and keypoint heads of any class, and box
    predictors. The layers inside them are.
    """
    returns_losses = {model, *_returning_losses(model)}
    return list(_frozen_modules(model, False, returns_losses))


def _frozen_modules(
    module: nn.Module, around_is_frozen: bool, returns_losses: Container[nn.Module]
) -> Iterator[nn.Module]:
    parameters = list(module.parameters())
    is_frozen = not any(p.requires_grad for p in parameters) if parameters else around_is_frozen
    # Modules around one that returns losses hand them on.
    if is_frozen and not any(inside in returns_losses for inside in module.modules()):
        yield module
        return
    for child in module.children():
        yield from _frozen_modules(child, is_frozen, returns_losses)


def _returning_losses(model: nn.Module) -> Iterator[nn.Module]:
    for module in model.modules():
        if isinstance(module, _RETURN_LOSSES):
            yield module
        # Those of other projects need not be of Detectron2's classes (PointRend's mask head).
        yield from (child for name, child in module.named_children() if name in _NAMES)


def _examples(names: list[str]) -> list[str]:
    return names[:2] + names[-2:]
