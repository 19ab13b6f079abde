"""Running sums of the gradients that classes get as positives and as negatives."""

from __future__ import annotations

import torch

from lt_det.losses.base import ExactBuffers
from lt_det.utils.distributed import sum_over_ranks

__all__ = ["GradientSums"]


class GradientSums(ExactBuffers):
    """The state of the losses that weigh a class by the ratio of the two.

    Sums are of absolute derivatives by the logits, over all RoIs of all ranks since training began.

    Args:
        num_classes: K.
    """

    def __init__(self, num_classes: int):
        super().__init__()
        self.register_buffer("positive", torch.zeros(num_classes, dtype=torch.float64))
        self.register_buffer("negative", torch.zeros(num_classes, dtype=torch.float64))

    @torch.no_grad()
    def add(
        self,
        slopes: torch.Tensor,
        gt_classes: torch.Tensor,
        weights: torch.Tensor | None = None,
        class_weights: torch.Tensor | None = None,
    ) -> None:
        """Add a batch; all ranks must call it.

        Args:
            slopes: absolute derivatives (R, K or more); columns beyond the K are left out.
            gt_classes: (R,); in [0, K) for positives.
            weights: (R,), how many RoIs each row stands for; None is one each.
            class_weights: (2, K), by which the class's positives and its negatives are multiplied.
        """
        rows = (gt_classes < len(self.positive)).nonzero().flatten()
        classes = gt_classes[rows]
        positive = torch.zeros_like(self.positive)
        if weights is not None:
            slopes = slopes * weights.to(slopes).unsqueeze(1)
        positive.index_add_(0, classes, slopes[rows, classes].to(positive))
        negative = slopes.sum(dim=0)[: len(positive)].to(positive) - positive
        sums = torch.stack([positive, negative])
        total = sum_over_ranks(sums if class_weights is None else sums * class_weights.to(sums))
        self.positive += total[0]
        self.negative += total[1]

    def ratio(self, unknown: float) -> torch.Tensor:
        """Positive over negative sums, (K,) float64; ``unknown`` for classes without a sum yet."""
        seen = self.positive + self.negative > 0
        return torch.where(seen, self.positive / self.negative.clamp(min=1e-10), unknown)
