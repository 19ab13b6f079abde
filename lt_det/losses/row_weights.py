"""Weights of RoIs by their class, the part that all schemes have in common."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lt_det.losses.base import BoxClsLoss, ExactBuffers
from lt_det.losses.prior import check_count_type, class_prior
from lt_det.losses.weighted_rows import ones_or
from lt_det.utils.distributed import sum_over_ranks

__all__ = ["RowWeighted"]

NORMS = ("class", "sample")


class RowWeighted(BoxClsLoss):
    r"""Goes before a loss: RoI i counts with the weight w of its class, the background with 1.

    A scheme states :meth:`raw_class_weights`; scale and schedule are settings.

    Beside the background's 1 it matters what the weights are scaled to. With ``norm="class"``,
    as released by most, an average foreground RoI of LVIS v0.5 has a weight of 0.03 (generalised
    re-weighting, rho = 0.8, instances) and the background rules; with ``norm="sample"`` it has 1.

    Deferred re-weighting (DRW, of the paper of :class:`LDAMLoss`) is any scheme with
    ``start_step``: all weights are 1 before. Steps are then counted in the buffer
    ``schedule.steps``, which is in the checkpoint; a stage 2 that starts from a checkpoint of such
    a loss counts on.

    Args:
        num_classes: see :class:`BoxClsLoss`.
        class_stats: see :class:`BoxClsLoss`; required in training.
        norm: "class" for ``sum_j w_j = K`` as released, "sample" for ``sum_j q_j w_j = 1``.
        count_type: "instance" or "image", what the weights and q are made from.
        weighted_mean: divide the batch's loss by its sum of weights, as the codes of DisAlign,
            MARC and LDAM-DRW do; False divides by the number of RoIs, as every loss of Detectron2's
            box head and the code of the class-balanced loss.
        start_step: number of training steps without weights, 0 is none.
        kwargs: parameters of the loss behind.

    Raises:
        ValueError: if an option has no meaning.
    """

    corrects_imbalance = True

    def __init__(
        self,
        num_classes,
        class_stats=None,
        *,
        norm: str = "class",
        count_type: str = "instance",
        weighted_mean: bool = False,
        start_step: int = 0,
        **kwargs,
    ):
        super().__init__(num_classes, class_stats, **kwargs)
        if norm not in NORMS:
            raise ValueError(f"Expected `norm` to be one of {NORMS}, but got {norm!r}")
        if start_step < 0:
            raise ValueError(f"Expected `start_step` to be >= 0, but got {start_step}")
        self.norm = norm
        self.count_type = check_count_type(count_type)
        self.weighted_mean = weighted_mean
        self.start_step = start_step
        self.schedule = ExactBuffers()
        if start_step:
            self.schedule.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def raw_class_weights(self) -> torch.Tensor:
        """Weights of the foreground classes of any scale, (K,) float64."""
        raise NotImplementedError

    def draw_mask(self, gt_classes, known_negatives=None, weights=None):
        """See :meth:`BoxClsLoss.draw_mask`.

        With ``weighted_mean`` a last column is added, the factor of every row: (R, C + 1), or
        (R, 1) where the loss behind has no mask.
        """
        mask = super().draw_mask(gt_classes, known_negatives, weights)
        if not self.weighted_mean:
            return mask
        factor = self._mean_factor(gt_classes, weights).expand(len(gt_classes), 1)
        return factor if mask is None else torch.cat([mask.to(factor), factor], dim=1)

    def forward(self, logits, gt_classes, mask=None):
        """See :meth:`BoxClsLoss.forward`. Without a mask each row is one RoI."""
        weights = self._row_weights(gt_classes)
        if self.weighted_mean:
            if mask is None:
                weights = weights * self._mean_factor(gt_classes, None)
            else:
                weights, mask = weights * mask[:, -1], mask[:, :-1]
                # The loss behind has none.
                mask = mask if mask.shape[1] else None
        return weights.to(logits) * super().forward(logits, gt_classes, mask)

    def _row_weights(self, gt_classes: torch.Tensor) -> torch.Tensor:
        """Look up the class weight of every row, (R,) float64."""
        return F.pad(self.class_weights(), (0, 1), value=1.0)[gt_classes]

    def _mean_factor(self, gt_classes: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        """Compute what makes the mean class weight 1 over the RoIs of all ranks, () float64.

        The predictor divides by the number of RoIs. All ranks must call it.
        """
        number = ones_or(weights, gt_classes)
        sums = torch.stack([number.sum(), (number * self._row_weights(gt_classes)).sum()])
        total = sum_over_ranks(sums)
        return total[0] / total[1].clamp(min=torch.finfo(total.dtype).tiny)

    def class_weights(self) -> torch.Tensor:
        """Weights of the foreground classes at this step, (K,) float64."""
        weights = self.raw_class_weights()
        if self.norm == "class":
            weights = weights * (self.num_classes / weights.sum())
        else:
            prior = class_prior(self.require_class_stats(), self.count_type)
            weights = weights / (prior * weights).sum()
        if not self.start_step:
            return weights
        # Compared as a tensor: a number would make the GPU wait in every step.
        return torch.where(self.schedule.steps >= self.start_step, weights, 1.0)

    @torch.no_grad()
    def update_state(self, logits, gt_classes, weights=None):
        """Count the step, if the weights wait for one."""
        super().update_state(logits, gt_classes, weights)
        if self.start_step:
            self.schedule.steps += 1
