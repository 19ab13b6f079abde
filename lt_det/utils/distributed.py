"""Sums over the processes of a training, for code that knows torch alone."""

from __future__ import annotations

import torch
from torch import distributed

__all__ = ["gather_rows", "rank", "sum_over_ranks", "world_size"]


def world_size() -> int:
    """Number of processes of this training; 1 without a process group."""
    return distributed.get_world_size() if _is_distributed() else 1


def rank() -> int:
    """This process's number; 0 without a process group."""
    return distributed.get_rank() if _is_distributed() else 0


@torch.no_grad()
def gather_rows(tensor: torch.Tensor) -> torch.Tensor:
    """The rows of every rank's ``tensor``, rank 0's first, without a gradient.

    All ranks must call it, with tensors that differ in their number of rows alone.
    """
    if world_size() == 1:
        return tensor.detach()
    numbers = torch.zeros(world_size(), dtype=torch.int64, device=tensor.device)
    numbers[rank()] = len(tensor)
    numbers = sum_over_ranks(numbers).tolist()
    start = sum(numbers[: rank()])
    rows = tensor.new_zeros(sum(numbers), *tensor.shape[1:])
    rows[start : start + len(tensor)] = tensor.detach()
    return sum_over_ranks(rows)


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
