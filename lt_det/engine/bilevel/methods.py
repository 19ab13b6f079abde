"""What learned class rates do: the Meta Reweighter and the Meta Sampler of BALMS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch

from lt_det.data.meta_plan import MetaBatchPlan
from lt_det.engine.bilevel import class_rates
from lt_det.engine.bilevel.class_rates import foreground_count, sum_by_class, sum_by_index
from lt_det.modeling.roi_recorder import RoIs
from lt_det.registry import MethodCard
from lt_det.utils.distributed import sum_over_ranks

__all__ = ["MetaReweighter", "MetaSampler", "RateMethod"]


class RateMethod(Protocol):
    """What class rates do: weight RoIs (Meta Reweighter) or draw pictures (Meta Sampler)."""

    def rated_rows(self, rois: RoIs) -> torch.Tensor | None:
        """RoIs whose hypergradients are wanted and whose weights may change; None for all."""

    def roi_weights(self, phi: torch.Tensor, rois: RoIs) -> torch.Tensor | None:
        """Weight of every RoI in the inner loss, (R,); None for ones. All ranks call it."""

    def rate_gradient(
        self,
        phi: torch.Tensor,
        stages: Sequence[RoIs],
        hypergradients: Sequence[torch.Tensor],
        batch: Sequence[Mapping],
    ) -> torch.Tensor:
        """The derivative of the outer loss by phi, (K,), from that by each RoI's weight."""

    def rates_changed(self, iteration: int, phi: torch.Tensor) -> None:
        """Called with phi as it is after ``iteration`` steps."""


class MetaReweighter:
    """Class rates weight foreground RoIs: what the authors' detector code does.

    Args:
        num_classes: K.
        normalized: scale the weights to a mean of 1 over the batch's foreground, as released; or
            not, as in the paper. See :mod:`lt_det.engine.bilevel.class_rates`.
    """

    CARD = MethodCard(
        paper="Ren et al., Balanced Meta-Softmax, NeurIPS 2020",
        arxiv="2007.10740",
        equation="foreground RoI weight v_i = rho_y / mean rho, rho_j = sigmoid(phi_j) learned",
        released="REWEIGHTER.NORMALIZED True; the outer loss is balanced (OUTER_LOSS balanced).",
        cost="a second forward pass a step, see docs/meta.md",
        use_when="Stage 2 beside a balanced loss; no clear gain over it on the quick set.",
    )

    def __init__(self, num_classes: int, normalized: bool = True):
        self._num_classes = num_classes
        self._normalized = normalized

    def rated_rows(self, rois: RoIs) -> torch.Tensor:
        """See :class:`RateMethod`: the foreground."""
        return (rois.gt_classes < self._num_classes).nonzero().flatten()

    def roi_weights(self, phi: torch.Tensor, rois: RoIs) -> torch.Tensor:
        """See :class:`RateMethod`."""
        return class_rates.roi_weights(phi, rois.gt_classes, self._count(rois))

    def rate_gradient(
        self,
        phi: torch.Tensor,
        stages: Sequence[RoIs],
        hypergradients: Sequence[torch.Tensor],
        batch: Sequence[Mapping],
    ) -> torch.Tensor:
        """See :class:`RateMethod`; summed over the stages of a cascade."""
        total = torch.zeros_like(phi)
        for rois, values in zip(stages, hypergradients, strict=True):
            by_class = sum_over_ranks(sum_by_class(values, rois.gt_classes, self._num_classes))
            total += class_rates.rate_gradient(phi, by_class, self._count(rois))
        return total

    def rates_changed(self, iteration: int, phi: torch.Tensor) -> None:
        """Nothing: weights are computed anew in every step."""

    def _count(self, rois: RoIs) -> torch.Tensor | None:
        if not self._normalized:
            return None
        return sum_over_ranks(foreground_count(rois.gt_classes, self._num_classes, rois.weights))


class MetaSampler:
    """Class rates draw pictures: the paper's Meta Sampler, on top of repeat factors.

    Args:
        plan: the training stream, which the rates are told to.
    """

    CARD = MethodCard(
        paper="Ren et al., Balanced Meta-Softmax, NeurIPS 2020",
        arxiv="2007.10740",
        equation="a picture is drawn ~ r(I) times the mean of rho over its classes",
        released="Not in the released detector, which has the Meta Reweighter.",
        cost="a second forward pass a step, see docs/meta.md",
        use_when="Stage 2 beside a balanced loss, with repeat factors or uniform sampling.",
    )

    def __init__(self, plan: MetaBatchPlan):
        self.plan = plan

    def rated_rows(self, rois: RoIs) -> None:
        """See :class:`RateMethod`: all, background included."""

    def roi_weights(self, phi: torch.Tensor, rois: RoIs) -> None:
        """See :class:`RateMethod`."""

    def rate_gradient(
        self,
        phi: torch.Tensor,
        stages: Sequence[RoIs],
        hypergradients: Sequence[torch.Tensor],
        batch: Sequence[Mapping],
    ) -> torch.Tensor:
        """See :class:`RateMethod`.

        A picture counts with all its RoIs in all stages.
        """
        values = sum(
            sum_by_index(of_roi, rois.image_of, len(rois.num_per_image))
            for rois, of_roi in zip(stages, hypergradients, strict=True)
        )
        places = [record["place"] for record in batch]
        images = torch.tensor([place.index for place in places])
        drawn_phi = self.plan.phi(places[0].version)
        gradient = self.plan.images.rate_gradient(phi.cpu(), drawn_phi, images, values.cpu())
        return gradient.to(phi.device)

    def rates_changed(self, iteration: int, phi: torch.Tensor) -> None:
        """Later batches are drawn under these rates."""
        self.plan.set_phi(iteration, phi)
