"""Norms of a classifier's weights, from a checkpoint."""

from __future__ import annotations

import os
import pickle

import numpy as np
import torch

__all__ = ["weight_norms"]


def weight_norms(checkpoint: str | os.PathLike, num_classes: int) -> np.ndarray | None:
    """Read the norm of each class's weights in a checkpoint of tensors and plain values.

    Args:
        checkpoint: file with the key ``model``.
        num_classes: K; rows after them (background) are left out.

    Returns:
        (K,), or None without one single linear classifier ``cls_score`` (a cascade has several).

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be read, which might run code, or its classifier has fewer rows.
    """
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["model"]
    except FileNotFoundError:
        raise
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError, TypeError) as error:
        raise ValueError(
            f"'{checkpoint}' cannot be read as a checkpoint of tensors and plain values: "
            f"{str(error).splitlines()[0]}"
        ) from error
    weights = [value for name, value in state.items() if name.endswith("cls_score.weight")]
    if len(weights) != 1:
        return None
    weight = torch.as_tensor(weights[0])
    if len(weight) < num_classes:
        raise ValueError(
            f"'{checkpoint}' has a classifier of {len(weight)} logits, expected those of "
            f"{num_classes} classes: it is the checkpoint of another model."
        )
    return weight[:num_classes].float().norm(dim=1).numpy()
