"""Sums over the processes of a training, for code that knows torch alone."""

from __future__ import annotations

import torch
from torch import distributed

__all__ = ["sum_over_ranks", "world_size"]


def world_size() -> int:
    """Number of processes of this training; 1 without a process group."""
    return distributed.get_world_size() if _is_distributed() else 1


@torch.no_grad()
def sum_over_ranks(tensor: torch.Tensor) -> torch.Tensor:
    """The sum of every rank's ``tensor``, without a gradient; ``tensor`` itself in one process.

    All ranks must call it, with equal shapes.
    """
    if world_size() == 1:
        return tensor
    # NCCL knows the GPU alone.
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    total = tensor.detach().to(device, copy=True)
    distributed.all_reduce(total)
    return total.to(tensor.device)


def _is_distributed() -> bool:
    return distributed.is_available() and distributed.is_initialized()
