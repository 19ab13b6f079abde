"""Learned class rates ``rho_c = sigmoid(phi_c)`` as weights of foreground RoIs.

The Meta Reweighter of Ren et al., "Balanced Meta-Softmax for Long-Tailed Visual Recognition",
NeurIPS 2020, arXiv 2007.10740, section 3.2 and supplement B. The paper and the released detector
code differ; ``foreground_count`` selects:

* None, the paper: the weight of a RoI of class c is rho_c;
* the (K,) counts of the batch, the released code: the weights are scaled to a mean of 1 over the
  foreground RoIs, so the rates share out a fixed total. The released code counts each process's own
  RoIs; sum the counts over the ranks for weights that do not depend on how the batch was split.

Background RoIs weigh 1 either way. phi = 0 is a rate of 0.5 for all: plain training in the released
form, foreground at half weight in the paper's.

Shape shorthand: see :mod:`lt_det.losses.base`. A cascade has labels of its own in every stage: call
these once a stage and add the gradients.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lt_det.losses.weighted_rows import count_by_class

__all__ = [
    "class_weights",
    "foreground_count",
    "rate_gradient",
    "rescale_hypergradient",
    "roi_weights",
    "sum_by_class",
    "sum_by_index",
]


def foreground_count(
    gt_classes: torch.Tensor, num_classes: int, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Count the RoIs of each foreground class, (K,) float64: sum it over the ranks.

    Args:
        gt_classes: (R,) in [0, K].
        num_classes: K.
        weights: (R,), how many RoIs each row stands for; None is one each.
    """
    return count_by_class(gt_classes, num_classes, weights)[:num_classes]


def sum_by_index(values: torch.Tensor, index: torch.Tensor, size: int) -> torch.Tensor:
    """Sums of ``values`` (R,) that have the same ``index`` (R,) in [0, size), (size,)."""
    return values.new_zeros(size).index_add(0, index, values)


def sum_by_class(values: torch.Tensor, gt_classes: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Sum of ``values`` (R,) over the RoIs of each foreground class, (K,): sum it over the ranks.

    Background RoIs are passed over: their weight is fixed.
    """
    return sum_by_index(values, gt_classes, num_classes + 1)[:num_classes]


def class_weights(phi: torch.Tensor, foreground_count: torch.Tensor | None = None) -> torch.Tensor:
    """Weight of a RoI of each foreground class, (K,), differentiable in ``phi``.

    Args:
        phi: (K,).
        foreground_count: see the module. A class without RoIs then has the weight 0, which no RoI
            sees.
    """
    if foreground_count is None:
        return phi.sigmoid()
    present = foreground_count.nonzero().flatten()
    count = foreground_count[present].to(phi)
    # Only ratios of rates matter; taken from the largest, no sum of tiny ones can vanish.
    log_rates = F.logsigmoid(phi[present])
    rates = (log_rates - max(log_rates.tolist(), default=0.0)).exp()
    weights = rates * (count.sum() / (count * rates).sum())
    return torch.zeros_like(phi).index_put((present,), weights)


def roi_weights(
    phi: torch.Tensor, gt_classes: torch.Tensor, foreground_count: torch.Tensor | None = None
) -> torch.Tensor:
    """Weight of every RoI, (R,): that of its class, 1 for background.

    Args:
        phi: (K,).
        gt_classes: (R,) in [0, K].
        foreground_count: see the module.
    """
    return F.pad(class_weights(phi, foreground_count), (0, 1), value=1.0)[gt_classes]


def rate_gradient(
    phi: torch.Tensor,
    class_hypergradient: torch.Tensor,
    foreground_count: torch.Tensor | None = None,
) -> torch.Tensor:
    """The derivative of the outer loss by phi, (K,).

    Every argument is that of all ranks together, so every rank computes the same.

    Args:
        phi: (K,), as it was for the weights of the look-ahead step.
        class_hypergradient: (K,), :func:`sum_by_class` of the RoIs' hypergradients.
        foreground_count: as it was for the weights of the look-ahead step.
    """
    with torch.enable_grad():
        phi = phi.detach().requires_grad_()
        weights = class_weights(phi, foreground_count)
        (gradient,) = torch.autograd.grad(weights, phi, class_hypergradient.to(weights))
    return gradient


def rescale_hypergradient(gradient: torch.Tensor, normaliser: float, gain: float) -> torch.Tensor:
    """The hypergradient in a size Adam can read.

    It is of the order ``gain / normaliser``, 2e-8 to 1e-7 during warm-up: next to Adam's eps of
    1e-8, which then silently stops the rates of rare classes. Multiplied by ``normaliser / gain``
    all signs and ratios stay, and a change of learning rate no longer changes its size.

    Args:
        gradient: by phi.
        normaliser: of the inner loss, in a cascade that of its first stage.
        gain: :attr:`lt_det.engine.bilevel.look_ahead.LookAhead.gain`. At 0 (a learning rate of 0)
            the step does not move, and the gradient, 0, stays.
    """
    return gradient * (normaliser / gain) if gain else gradient
