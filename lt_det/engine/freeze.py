"""Stage 2 of decoupled training: which parameters train, and what frozen modules do."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from detectron2.engine import HookBase
from detectron2.modeling.proposal_generator import RPN
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

__all__ = ["FrozenModulesInEval", "FrozenProposals", "freeze_parameters", "frozen"]

logger = logging.getLogger(__name__)


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
    """Keeps norm and dropout modules without trainable parameters in eval mode.

    A frozen batch norm in training mode would still normalise by the batch and move its running
    statistics. Detectron2's evaluation puts the whole model back into training mode, so the mode
    is set again before every step.
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
    """Norm layers and dropout that belong to frozen parts.

    A module with parameters is frozen if none of them trains. One without (dropout, a norm that is
    not affine) goes with the closest module around it that has some. Without any frozen parameter
    this is empty.
    """
    return list(_frozen_modules(model, around_is_frozen=False))


def _frozen_modules(module: nn.Module, around_is_frozen: bool) -> Iterator[nn.Module]:
    parameters = list(module.parameters())
    is_frozen = not any(p.requires_grad for p in parameters) if parameters else around_is_frozen
    if is_frozen and isinstance(module, (_NormBase, _DropoutNd)):
        yield module
    for child in module.children():
        yield from _frozen_modules(child, is_frozen)


def _examples(names: list[str]) -> list[str]:
    return names[:2] + names[-2:]
