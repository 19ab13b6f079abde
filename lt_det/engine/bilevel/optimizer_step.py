"""The update rules of torch's optimisers, one parameter at a time, as pure functions.

They are in torch.optim's order of operations: SGD's result is its to the last bit.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["AdamWStep", "SGDStep", "step_class"]


@dataclass(frozen=True, kw_only=True)
class SGDStep:
    """The update of one parameter by ``torch.optim.SGD``, whose options these are.

    ``momentum_buffer`` is None before the first step, which ignores ``dampening``.
    """

    lr: float
    momentum: float = 0.0
    dampening: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False
    maximize: bool = False
    momentum_buffer: torch.Tensor | None = None

    @classmethod
    def from_group(cls, group: Mapping[str, Any], state: Mapping[str, Any]) -> SGDStep:
        """From an optimiser's group of parameters and one parameter's state."""
        return cls(
            lr=float(group["lr"]),
            momentum=group["momentum"],
            dampening=group["dampening"],
            weight_decay=group["weight_decay"],
            nesterov=group["nesterov"],
            maximize=group["maximize"],
            momentum_buffer=state.get("momentum_buffer"),
        )

    @property
    def gain(self) -> float:
        """Learning rate times kappa: how far one unit of gradient moves the parameter."""
        in_buffer = 1.0 if self.momentum_buffer is None else 1.0 - self.dampening
        if not self.momentum:
            return self.lr
        return self.lr * (1.0 + self.momentum * in_buffer if self.nesterov else in_buffer)

    def __call__(self, parameter: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """The parameter after the step."""
        # In torch.optim's order of operations: the result is to be equal to the last bit.
        if self.maximize:
            gradient = -gradient
        if self.weight_decay:
            gradient = gradient.add(parameter, alpha=self.weight_decay)
        if self.momentum:
            buffer = gradient
            if self.momentum_buffer is not None:
                kept = self.momentum_buffer * self.momentum
                buffer = kept.add(gradient, alpha=1 - self.dampening)
            gradient = gradient.add(buffer, alpha=self.momentum) if self.nesterov else buffer
        return parameter.add(gradient, alpha=-self.lr)


@dataclass(frozen=True, kw_only=True)
class AdamWStep:
    """The update of one parameter by ``torch.optim.AdamW``.

    Where neither this gradient nor an earlier one was ever different from zero, the derivative of
    |gradient| is taken as 0. In the first steps the update is close to the gradient's sign and its
    derivative close to nothing: wait for the moments to fill before trusting a hypergradient.

    Args:
        lr: learning rate.
        betas: of the two moments.
        eps: added to the root of the second moment.
        weight_decay: its factor, decoupled from the gradient.
        maximize: go up.
        num_steps: steps already taken.
        exp_avg: first moment; None before the first step.
        exp_avg_sq: second moment; None before the first step.
    """

    lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    maximize: bool = False
    num_steps: int = 0
    exp_avg: torch.Tensor | None = None
    exp_avg_sq: torch.Tensor | None = None

    @classmethod
    def from_group(cls, group: Mapping[str, Any], state: Mapping[str, Any]) -> AdamWStep:
        """From an optimiser's group of parameters and one parameter's state.

        Raises:
            ValueError: for AMSGrad.
        """
        if group["amsgrad"]:
            raise ValueError(
                "Expected `amsgrad` of the optimiser to be False, but got True: its running "
                "maximum has no look-ahead step here; switch it off"
            )
        return cls(
            lr=float(group["lr"]),
            betas=tuple(float(beta) for beta in group["betas"]),
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
            num_steps=int(state.get("step", 0)),
            exp_avg=state.get("exp_avg"),
            exp_avg_sq=state.get("exp_avg_sq"),
        )

    @property
    def gain(self) -> float:
        """How far the parameter moves by one unit of gradient over a second moment of 1."""
        return self.lr * (1 - self.betas[0]) / self._bias_correction(self.betas[0])

    def __call__(self, parameter: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """The parameter after the step."""
        beta1, beta2 = self.betas
        if self.maximize:
            gradient = -gradient
        if self.weight_decay:
            parameter = parameter * (1 - self.lr * self.weight_decay)
        first, second = self.exp_avg, self.exp_avg_sq
        first = torch.zeros_like(parameter) if first is None else first
        second = torch.zeros_like(parameter) if second is None else second
        first = first.lerp(gradient, 1 - beta1)
        second = (second * beta2).addcmul(gradient, gradient, value=1 - beta2)
        root = _sqrt(second) / self._bias_correction(beta2) ** 0.5
        return parameter.addcdiv(
            first, root + self.eps, value=-self.lr / self._bias_correction(beta1)
        )

    def _bias_correction(self, beta: float) -> float:
        return 1 - beta ** (self.num_steps + 1)


_STEPS = {torch.optim.SGD: SGDStep, torch.optim.AdamW: AdamWStep}


def step_class(
    optimizer: torch.optim.Optimizer, own_step: bool = False
) -> type[SGDStep] | type[AdamWStep]:
    """The update rule of an optimiser.

    Args:
        optimizer: SGD or AdamW, or of a class derived from one of them.
        own_step: expect a derived class with a ``step`` of its own, as Detectron2 makes for
            gradient clipping.

    Raises:
        ValueError: if it is another optimiser, or has a step of its own that was not expected.
    """
    base = next((cls for cls in type(optimizer).__mro__ if cls in _STEPS), None)
    if base is None:
        raise ValueError(
            f"No look-ahead step for the optimiser {type(optimizer).__name__}: expected one of "
            f"{[cls.__name__ for cls in _STEPS]}"
        )
    # Unwrapped, because torch decorates `step` when the first optimiser of a class is made.
    overridden = inspect.unwrap(type(optimizer).step) is not inspect.unwrap(base.step)
    if overridden and not own_step:
        raise ValueError(
            f"{type(optimizer).__name__} is a {base.__name__} with a step of its own: if it clips "
            "gradients (SOLVER.CLIP_GRADIENTS), pass `clip`; otherwise it has no look-ahead step"
        )
    return _STEPS[base]


def _sqrt(tensor: torch.Tensor) -> torch.Tensor:
    """Square root whose derivative at 0 is 0, where autograd's is infinite."""
    positive = tensor > 0
    return torch.where(positive, torch.where(positive, tensor, 1.0).sqrt(), 0.0)
