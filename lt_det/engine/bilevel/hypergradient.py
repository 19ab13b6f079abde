"""The hypergradient of one look-ahead step of a classifier: tensors in, tensors out.

Ren et al., "Balanced Meta-Softmax for Long-Tailed Visual Recognition", NeurIPS 2020, arXiv
2007.10740, section 3.2, without ``higher`` and without a second derivative. The inner loss
``sum_i w_i l_i / normaliser`` is linear in the weights w of the RoIs, so

    dL_outer / dw_i = <P, d l_i / d theta> / normaliser = <delta_i, J_i P> / normaliser

with ``delta_i = d l_i / d logits_i``, the Jacobian J_i of RoI i's logits by the classifier's
parameters theta, and P the outer loss's gradient pulled back through the optimiser's step
(:meth:`LookAhead.pull_back`): ``-eta kappa Gamma`` for SGD. ``J_i P`` is one forward-mode product.

One step, for every classifier (one, or one a stage of a cascade):

====================================================== ===========================================
call                                                   over the ranks
====================================================== ===========================================
``_, delta = loss_and_gradient(loss, z, y, mask)``     local
``g = classifier_gradient(.., delta, w, normaliser)``  sum
``ahead = LookAhead(..)(theta, g)``                    equal; one call for all stages
``_, gamma = outer_gradient(.., ahead, ..)``           sum
``p = LookAhead(..).pull_back(theta, g, gamma)``       equal; one call for all stages
``a = roi_hypergradient(.., delta, p, normaliser)``    local; sum what it is accumulated to
====================================================== ===========================================

Sums are right if ``normaliser`` counts the RoIs of all ranks. To follow DDP's mean of local means
instead, pass the world size times the local number of RoIs.

Shape shorthand: see :mod:`lt_det.losses.base`; D is the size of the features. A ``classifier`` maps
features (R, D) to logits (R, C), row by row and without randomness, and is called functionally:
neither its parameters nor its buffers change. ``parameters`` are those to train; the others stay as
they are. Half-precision features are computed with in the parameters' precision.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import nn

from lt_det.losses.base import BoxClsLoss

__all__ = [
    "classifier_gradient",
    "classifier_logits",
    "loss_and_gradient",
    "outer_gradient",
    "roi_hypergradient",
    "trainable_parameters",
]

Parameters = Mapping[str, torch.Tensor]


def _pure(function: Callable) -> Callable:
    """Hand over detached parameters and features of one precision, without autocast.

    Autocast would round every product to half precision, and the rates live on differences of
    hypergradients that are nearly equal.
    """

    @functools.wraps(function)
    @torch.no_grad()
    def pure(classifier, parameters, features, *args, **kwargs):
        parameters = {name: parameter.detach() for name, parameter in parameters.items()}
        features = features.detach().to(next(iter(parameters.values())).dtype)
        with torch.autocast(features.device.type, enabled=False):
            return function(classifier, parameters, features, *args, **kwargs)

    return pure


def trainable_parameters(classifier: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters of ``classifier`` that require a gradient, by name.

    Raises:
        ValueError: if there are none.
    """
    parameters = {name: p for name, p in classifier.named_parameters() if p.requires_grad}
    if not parameters:
        raise ValueError(
            f"The classifier {type(classifier).__name__} has no trainable parameter, so there is "
            "no step to look ahead: let SOLVER.TRAINABLE_PARAMS match '*cls_score*'"
        )
    return parameters


@_pure
def classifier_logits(
    classifier: nn.Module, parameters: Parameters, features: torch.Tensor
) -> torch.Tensor:
    """Logits (R, C) of features (R, D) under other parameters than the classifier's own."""
    return _function(classifier, features)(parameters)


@torch.no_grad()
def loss_and_gradient(
    loss: BoxClsLoss,
    logits: torch.Tensor,
    gt_classes: torch.Tensor,
    mask: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of every RoI and its derivative by the RoI's own logits.

    Args:
        loss: the loss; by its contract the rows are independent of each other.
        logits: (R, C).
        gt_classes: (R,) in [0, K].
        mask: of :meth:`BoxClsLoss.draw_mask`; the look-ahead and the real step share one.

    Returns:
        The losses (R,) and delta (R, C), both detached.
    """
    with torch.enable_grad():
        at_least_float32 = torch.promote_types(logits.dtype, torch.float32)
        logits = logits.detach().to(at_least_float32).requires_grad_()
        values = loss(logits, gt_classes, mask)
        (delta,) = torch.autograd.grad(values.sum(), logits)
    return values.detach(), delta


@_pure
def classifier_gradient(
    classifier: nn.Module,
    parameters: Parameters,
    features: torch.Tensor,
    delta: torch.Tensor,
    weights: torch.Tensor | None,
    normaliser: float,
) -> dict[str, torch.Tensor]:
    """This rank's part of the gradient of ``sum_i w_i l_i / normaliser``: sum it over the ranks.

    The real step takes it too, with new weights and the same delta: no second forward pass. It is
    linear in the weights, so rows whose weights do not change need no second product either.

    Args:
        classifier: see the module.
        parameters: where the gradient is taken.
        features: (R, D).
        delta: (R, C), :func:`loss_and_gradient` at these parameters.
        weights: (R,), None for ones.
        normaliser: see the module; divide it by the loss's weight in the total.

    Raises:
        ValueError: if ``normaliser`` is not positive.
    """
    scale = features.new_full((len(features),), 1 / _positive(normaliser))
    scale = scale if weights is None else scale * weights.to(scale)
    delta = delta.to(features)
    if _is_linear(classifier, parameters):
        # The features are scaled, because D is smaller than C.
        closed_form = {
            "weight": lambda: delta.T @ (features * scale.unsqueeze(1)),
            "bias": lambda: delta.T @ scale,
        }
        return {name: closed_form[name]() for name in parameters}
    _, pull_back = torch.func.vjp(_function(classifier, features), parameters)
    return pull_back(delta * scale.unsqueeze(1))[0]


@_pure
def outer_gradient(
    classifier: nn.Module,
    parameters: Parameters,
    features: torch.Tensor,
    gt_classes: torch.Tensor,
    loss: BoxClsLoss,
    normaliser: float,
    mask: torch.Tensor | None = None,
    weights: torch.Tensor | None = None,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """This rank's part of the outer loss on the meta batch and of its gradient Gamma.

    Args:
        classifier: see the module.
        parameters: the looked-ahead ones.
        features: (M, D) of the meta batch.
        gt_classes: (M,) in [0, K].
        loss: :meth:`BoxClsLoss.plain` of the inner loss, as in the paper, or the inner loss
            itself: what the released detector code computes, because it shifts the logits in place
            before the outer loss reads them (its class prior is the training set's, not the meta
            set's).
        normaliser: M over all ranks.
        mask: of this loss for this batch.
        weights: (M,), how many RoIs each stands for; None is one each.

    Returns:
        The loss () and Gamma; sum both over the ranks.

    Raises:
        ValueError: if ``normaliser`` is not positive.
    """
    logits = classifier_logits(classifier, parameters, features)
    values, delta = loss_and_gradient(loss, logits, gt_classes, mask)
    gamma = classifier_gradient(classifier, parameters, features, delta, weights, normaliser)
    values = values if weights is None else values * weights.to(values)
    return values.sum() / normaliser, gamma


@_pure
def roi_hypergradient(
    classifier: nn.Module,
    parameters: Parameters,
    features: torch.Tensor,
    delta: torch.Tensor,
    direction: Parameters,
    normaliser: float,
) -> torch.Tensor:
    """The derivative of the outer loss by the weight of every RoI.

    Exact for any weights, because these enter the inner loss linearly and no delta depends on
    them. RoIs are independent: pass the rows wanted only, say the foreground.

    Args:
        classifier: see the module.
        parameters: present ones, before the step.
        features: (R, D).
        delta: (R, C), :func:`loss_and_gradient` of the inner loss at these parameters.
        direction: the outer gradient, pulled back through the step.
        normaliser: the inner loss's, as in :func:`classifier_gradient`.

    Returns:
        (R,).

    Raises:
        ValueError: if ``normaliser`` is not positive.
    """
    direction = {name: direction[name] for name in parameters}
    if _is_linear(classifier, parameters):
        weight = direction.get("weight", torch.zeros_like(classifier.weight))
        change = F.linear(features, weight, direction.get("bias"))
    else:
        function = _function(classifier, features)
        _, change = torch.func.jvp(function, (parameters,), (direction,))
    return (delta * change).sum(dim=1) / _positive(normaliser)


def _function(classifier: nn.Module, features: torch.Tensor) -> Callable:
    """Parameters -> logits."""

    def logits(parameters: Parameters) -> torch.Tensor:
        # Copies, because a running statistic must not move.
        buffers = {name: buffer.clone() for name, buffer in classifier.named_buffers()}
        return torch.func.functional_call(classifier, (parameters, buffers), (features,))

    return logits


def _is_linear(classifier: nn.Module, parameters: Parameters) -> bool:
    """Whether logits are ``h W^T + b``, with a closed form for every product."""
    return type(classifier).forward is nn.Linear.forward and set(parameters) <= {"weight", "bias"}


def _positive(normaliser: float) -> float:
    if not normaliser > 0:
        raise ValueError(
            f"Expected `normaliser` to be > 0, but got {normaliser}: count at least one RoI, as "
            "Detectron2 does for an empty batch"
        )
    return normaliser
