"""One step of training under autocast, on any device."""

from __future__ import annotations

import contextlib
import time

import torch
from detectron2.config import CfgNode
from detectron2.engine import SimpleTrainer
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage

from lt_det.engine.finite import check_finite
from lt_det.modeling.roi_heads import seeded_roi_sampling
from lt_det.utils.seeding import picture_number, seed_everything

__all__ = ["AutocastTrainer", "autocast_of"]


class AutocastTrainer(SimpleTrainer):
    """SimpleTrainer that runs the forward pass under autocast on the model's device.

    Detectron2's AMPTrainer wants CUDA and float16. Gradients are scaled for float16 alone:
    bfloat16 has float32's range.

    Constants among the losses (branches without a trainable parameter) are neither summed nor
    logged. Every step has the random numbers of (seed, iteration, rank), and lt_det's ROI heads
    sample RoIs by (seed, iteration, picture).
    """

    def __init__(
        self, model, data_loader, optimizer, dtype: torch.dtype | None = None, seed: int = 0
    ):
        """``dtype`` is the autocast type, None for float32; ``seed`` is the training's."""
        super().__init__(model, data_loader, optimizer)
        self.seed = seed
        self._device = next(model.parameters()).device
        self._dtype = dtype
        self._scaler = torch.amp.GradScaler(
            self._device.type, enabled=dtype == torch.float16 and self._device.type == "cuda"
        )

    def run_step(self) -> None:
        """One step of gradient descent."""
        assert self.model.training, "AutocastTrainer: the model was left in eval mode"
        start = time.perf_counter()
        data = next(self._data_loader_iter)
        data_time = time.perf_counter() - start
        # After the data: a loader without workers draws random numbers too.
        seed_everything(self.seed, self.iter, comm.get_rank())
        image_seeds = [(self.seed, self.iter, picture_number(record)) for record in data]
        with (
            torch.autocast(self._device.type, self._dtype, enabled=self._dtype is not None),
            seeded_roi_sampling(self.model, image_seeds),
        ):
            losses = self.model(data)
        losses = {name: loss for name, loss in losses.items() if loss.requires_grad}
        check_finite(losses, data, self.iter)
        self.optimizer.zero_grad()
        self._scaler.scale(sum(losses.values())).backward()
        self.after_backward()
        self._write_metrics(losses, data_time)
        self._scaler.step(self.optimizer)
        self._scaler.update()

    def _write_metrics(self, loss_dict, data_time, prefix="", iter=None) -> None:
        """See SimpleTrainer, which logs a loss by its name only where there are several."""
        super()._write_metrics(loss_dict, data_time, prefix, iter)
        storage = get_event_storage()
        # Written by the main process alone.
        total, written_at = storage.latest().get(f"{prefix}total_loss", (None, None))
        if len(loss_dict) == 1 and written_at == (self.iter if iter is None else iter):
            (name,) = loss_dict
            storage.put_scalar(name, total, cur_iter=written_at)

    def loss_scale(self) -> float:
        """What the loss is multiplied by before the backward pass: 1, but for float16 on a GPU."""
        return self._scaler.get_scale()

    @property
    def loaders(self) -> list:
        """Every stream of pictures."""
        return [self.data_loader]

    def state_dict(self) -> dict:
        """Optimiser, gradient scaler and seed."""
        return {
            **super().state_dict(),
            "scaler": self._scaler.state_dict(),
            "seed": self.seed,
        }

    def load_state_dict(self, state_dict: dict) -> None:
        """Inverse of :meth:`state_dict`."""
        super().load_state_dict(state_dict)
        # Absent in checkpoints of Detectron2's own trainers.
        if "scaler" in state_dict:
            self._scaler.load_state_dict(state_dict["scaler"])
            self.seed = state_dict.get("seed", self.seed)


def autocast_of(cfg: CfgNode) -> contextlib.AbstractContextManager:
    """The autocast that the detector trains under."""
    amp = cfg.SOLVER.AMP
    device = torch.device(cfg.MODEL.DEVICE).type
    return torch.autocast(device, getattr(torch, amp.PRECISION), enabled=amp.ENABLED)
