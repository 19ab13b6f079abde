"""The positive-to-negative gradient ratio of every class over a training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import nn

from lt_det.class_stats import GROUP_NAMES
from lt_det.evaluation.metrics.gradient_history import GRADIENT_RATIO_FILE, GradientHistory
from lt_det.modeling.find_predictors import box_predictors
from lt_det.utils.distributed import sum_over_ranks, world_size

__all__ = ["GradientRatio", "gradient_sums"]


def gradient_sums(
    gradient: torch.Tensor, gt_classes: torch.Tensor, num_classes: int
) -> torch.Tensor:
    """Sums of |dL/dz_ij| over the RoIs i of class j, and over all others, (2, K) float64.

    Args:
        gradient: of the loss by the logits, (R, C), the first K columns of the classes.
        gt_classes: (R,) in [0, K]. Background is a negative of every class.
        num_classes: K.
    """
    sizes = gradient[:, :num_classes].abs().double()
    rows = (gt_classes < num_classes).nonzero().flatten()
    own = gt_classes[rows]
    positive = sizes.new_zeros(num_classes).index_add_(0, own, sizes[rows, own])
    sizes[rows, own] = 0
    return torch.stack([positive, sizes.sum(dim=0)])


class GradientRatio(HookBase):
    """Writes ``gradient_ratio.csv``, see :class:`GradientHistory`, and scalars by group.

    It looks at the gradient where it reaches the logits that the classification loss was called
    with, whatever the loss is, and changes nothing. The stages of a cascade are added. The sums are
    those of one process with the RoIs of all ranks, and a resume goes on with them.

    The ratio is EQLv2's, see :meth:`GradientHistory.ratio`; unlike there it has no effect, and
    every loss and logit layout has one.

    Args:
        model: with lt_det's box predictors.
        cfg: the config; ``SOLVER.GRADIENT_RATIO.PERIOD`` are the steps between two rows.
        loss_scale: what the loss is multiplied by before the backward pass.

    Raises:
        ValueError: if the period is negative, the model has none of lt_det's box predictors, or
            ``SOLVER.META`` trains, which computes gradients without a backward pass.
    """

    def __init__(self, model: nn.Module, cfg: CfgNode, loss_scale: Callable[[], float]):
        self._period = cfg.SOLVER.GRADIENT_RATIO.PERIOD
        self._predictors = list(box_predictors(model))
        _check(self._period, self._predictors, model, cfg)
        self._loss_scale = loss_scale
        self._thresholds = tuple(cfg.DATASETS.GROUP_THRESHOLDS)
        self._path = Path(cfg.OUTPUT_DIR) / GRADIENT_RATIO_FILE
        weight = self._predictors[0].cls_score.weight
        shape = (2, self._predictors[0].num_classes)
        self._step = torch.zeros(shape, dtype=torch.float64, device=weight.device)
        self._sums = self._step.clone()
        self._iterations: list[int] = []
        self._rows: list[torch.Tensor] = []
        self._handles = []
        self._done = 0

    def before_train(self) -> None:
        """Begin to look at the losses' logits."""
        losses = [predictor.cls_loss for predictor in self._predictors]
        self._handles = [loss.register_forward_hook(self._on_loss) for loss in losses]

    def after_step(self) -> None:
        """Add the step's sums of all ranks; at the end of a period, a row."""
        step = sum_over_ranks(self._step) / world_size()
        self._step.zero_()
        # A step of float16 that overflows is not taken either.
        if step.isfinite().all():
            self._sums += step
        self._done = self.trainer.iter + 1
        if self._done % self._period == 0:
            self._iterations.append(self._done)
            self._rows.append(self._sums.cpu())
            self._sums = torch.zeros_like(self._sums)
            self._report()

    def after_train(self) -> None:
        """Look no longer, and write the steps since the last row."""
        for handle in self._handles:
            handle.remove()
        if self._done > max(self._iterations, default=0) and comm.is_main_process():
            iterations, rows = [*self._iterations, self._done], [*self._rows, self._sums.cpu()]
            _table(iterations, rows).save(self._path)

    def state_dict(self) -> dict:
        """The rows so far, and the sums since the last."""
        rows = torch.stack(self._rows) if self._rows else self._sums.new_empty(0, *self._sums.shape)
        return {"iterations": list(self._iterations), "rows": rows, "sums": self._sums.cpu()}

    def load_state_dict(self, state_dict: dict) -> None:
        """Inverse of :meth:`state_dict`."""
        self._iterations = list(state_dict["iterations"])
        self._rows = list(state_dict["rows"].cpu())
        self._sums = state_dict["sums"].to(self._sums)

    def _on_loss(self, loss: nn.Module, args: tuple, output: torch.Tensor) -> None:
        logits, gt_classes = args[:2]
        if logits.requires_grad:
            logits.register_hook(lambda gradient: self._add(gradient, gt_classes))

    def _add(self, gradient: torch.Tensor, gt_classes: torch.Tensor) -> None:
        sums = gradient_sums(gradient, gt_classes, self._step.shape[1])
        self._step += sums / self._loss_scale()

    def _report(self) -> None:
        if not comm.is_main_process():
            return
        table = _table(self._iterations, self._rows)
        table.save(self._path)
        stats = self._predictors[0].cls_loss.class_stats.value()
        ratio, storage = table.ratio()[-1], get_event_storage()
        if stats is None:
            return
        groups = stats.groups(self._thresholds)
        for group, name in enumerate(GROUP_NAMES):
            of_group = ratio[(groups == group) & ~np.isnan(ratio)]
            if len(of_group):
                storage.put_scalar(f"gradient_ratio/{name}", float(np.median(of_group)))


def _table(iterations: Sequence[int], rows: Sequence[torch.Tensor]) -> GradientHistory:
    positive, negative = np.stack(rows, axis=1)
    return GradientHistory(np.array(iterations), positive, negative)


def _check(period: int, predictors: list, model: nn.Module, cfg: CfgNode) -> None:
    key = f"SOLVER.GRADIENT_RATIO.PERIOD is {period}"
    if period < 0:
        raise ValueError(f"{key}, expected steps between two rows, or 0 for none")
    if not predictors:
        raise ValueError(
            f"{key}, but {type(model).__name__} has none of lt_det's box predictors: use one of "
            "lt_det's ROI heads, install_box_predictor, or 0"
        )
    if cfg.SOLVER.META.NAME:
        raise ValueError(
            f"{key}, but SOLVER.META.NAME {cfg.SOLVER.META.NAME!r} computes its gradients without "
            "a backward pass: set one of them to 0 or ''"
        )
