"""One step of the optimiser as a pure function: looked ahead, and differentiated.

A bilevel method asks what the parameters would be after the coming step, and how they would change
with the gradient it takes. Nothing here touches the optimiser: its state is read and never written,
so everything must be asked before the real step is taken.

"Parameters" are mappings from a name (any key) to a tensor. They hold every parameter the optimiser
trains: with clipping over all of them, one that is missing would change the others.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import torch

from lt_det.engine.bilevel.optimizer_step import AdamWStep, SGDStep, step_class

__all__ = ["GradientClip", "LookAhead"]

Tensors = Mapping[Hashable, torch.Tensor]

CLIP_TYPES = ("value", "norm", "full_model")
# As in torch.nn.utils.clip_grad_norm_.
_NORM_EPS = 1e-6


@dataclass(frozen=True)
class GradientClip:
    """Detectron2's ``SOLVER.CLIP_GRADIENTS``, as a function of all gradients.

    Args:
        clip_type: "value" clamps elements, "norm" scales every parameter's gradient by itself,
            "full_model" all of them by their joint norm (not in Detectron2's own solver; Detic's
            and CenterNet2's have it).
        clip_value: largest element, or largest norm.
        norm_type: p of the norm.

    Raises:
        ValueError: if the type is unknown.
    """

    clip_type: str
    clip_value: float
    norm_type: float = 2.0

    def __post_init__(self) -> None:
        if self.clip_type not in CLIP_TYPES:
            raise ValueError(
                f"Expected `clip_type` to be one of {CLIP_TYPES}, but got {self.clip_type!r}: see "
                "SOLVER.CLIP_GRADIENTS.CLIP_TYPE"
            )

    def __call__(self, gradients: Tensors) -> dict[Hashable, torch.Tensor]:
        """Clipped gradients; the input stays untouched."""
        if self.clip_type == "value":
            limit = self.clip_value
            return {name: g.clamp(-limit, limit) for name, g in gradients.items()}
        norms = {name: self._norm(gradient) for name, gradient in gradients.items()}
        if self.clip_type == "full_model":
            norms = dict.fromkeys(norms, self._norm(torch.stack(list(norms.values()))))
        return {name: g * self._factor(norms[name]) for name, g in gradients.items()}

    def _norm(self, tensor: torch.Tensor) -> torch.Tensor:
        return torch.linalg.vector_norm(tensor, self.norm_type)

    def _factor(self, norm: torch.Tensor) -> torch.Tensor:
        return (self.clip_value / (norm + _NORM_EPS)).clamp(max=1.0)


@dataclass(frozen=True)
class LookAhead:
    """The coming step of an optimiser over named parameters.

    In a distributed run the gradients are those of all ranks together, summed by the caller: what
    the real step sees, clipping included. The same is then computed on every rank.

    Args:
        steps: how each parameter is updated, by its name.
        clip: gradient clipping, None for none.
    """

    steps: Mapping[Hashable, SGDStep | AdamWStep]
    clip: GradientClip | None = None

    @classmethod
    def from_optimizer(
        cls,
        optimizer: torch.optim.Optimizer,
        parameters: Mapping[Hashable, torch.nn.Parameter],
        clip: GradientClip | None = None,
    ) -> LookAhead:
        """Read the options and the state of a live optimiser.

        Args:
            optimizer: SGD or AdamW, or what Detectron2's solver made of one of them. Its
                learning rates are taken as they are: those of the coming step.
            parameters: the trained parameters, the very objects the optimiser holds.
            clip: the clipping of ``SOLVER.CLIP_GRADIENTS``, which an optimiser does not tell.

        Raises:
            ValueError: if the optimiser is another, has a step of its own without ``clip`` saying
                what it does, or does not train a parameter.
        """
        step = step_class(optimizer, own_step=clip is not None)
        group_of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
        steps = {}
        for name, parameter in parameters.items():
            if id(parameter) not in group_of:
                raise ValueError(
                    f"The optimiser does not train {name!r}: pass parameters that require a "
                    "gradient, of the model it was built for"
                )
            state = optimizer.state.get(parameter, {})
            steps[name] = step.from_group(group_of[id(parameter)], state)
        return cls(steps, clip)

    @property
    def gain(self) -> float:
        """The largest gain of a parameter, see :attr:`SGDStep.gain`."""
        return max(step.gain for step in self.steps.values())

    def __call__(self, parameters: Tensors, gradients: Tensors) -> dict[Hashable, torch.Tensor]:
        """The parameters after the step, differentiable in ``gradients``.

        Args:
            parameters: present values.
            gradients: of the loss, unclipped.
        """
        if self.clip is not None:
            gradients = self.clip(gradients)
        return {
            name: step(parameters[name].detach(), gradients[name])
            for name, step in self.steps.items()
        }

    def pull_back(
        self, parameters: Tensors, gradients: Tensors, outer_gradient: Tensors
    ) -> dict[Hashable, torch.Tensor]:
        """The derivative of an outer loss by the gradient the step takes.

        For plain SGD this is ``-lr * outer_gradient``; momentum, clipping by norm or value and the
        rest enter by the vector-Jacobian product of the step itself.

        Args:
            parameters: as in :meth:`__call__`.
            gradients: as in :meth:`__call__`.
            outer_gradient: Gamma, the outer loss's derivative by the looked-ahead parameters.
        """
        with torch.enable_grad():
            leaves = {name: gradients[name].detach().requires_grad_() for name in self.steps}
            ahead = self(parameters, leaves)
        derivatives = torch.autograd.grad(
            list(ahead.values()),
            list(leaves.values()),
            [outer_gradient[name] for name in ahead],
        )
        return dict(zip(leaves, derivatives, strict=True))
