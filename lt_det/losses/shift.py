"""The additive shift that balanced losses have in common, u = z + S."""

from __future__ import annotations

import torch

from lt_det.losses.base import BoxClsLoss

__all__ = ["ShiftedLoss"]


class ShiftedLoss(BoxClsLoss):
    """Base of losses that see shifted logits in training and plain ones at test.

    S has the value :meth:`shift` in the rows that :meth:`shifted_rows` marks, zero elsewhere. The
    two are apart because most shifts are the same in every row: S itself, (R, C), would cost as
    much memory as the logits.
    """

    def shift(self, gt_classes: torch.Tensor) -> torch.Tensor | None:
        """Additive shift of the logits in training, broadcastable to (R, C); None is zero."""
        return None

    def shifted_rows(self, gt_classes: torch.Tensor) -> torch.Tensor | None:
        """Rows that are shifted, bool (R,); None is all of them."""
        return None

    def shifted(self, logits: torch.Tensor, gt_classes: torch.Tensor) -> torch.Tensor:
        """Shifted logits u = z + S, (R, C), in one pass; the input itself without a shift."""
        shift = self.shift(gt_classes)
        if shift is None:
            return logits
        rows = self.shifted_rows(gt_classes)
        if rows is None:
            return logits + shift.to(logits)
        return torch.addcmul(logits, rows.unsqueeze(1).to(logits), shift.to(logits))
