"""Which classes a batch has a say about: those it contains, and a few drawn ones."""

from __future__ import annotations

import torch

__all__ = ["draw_federated_classes"]


def draw_federated_classes(
    gt_classes: torch.Tensor,
    image_count: torch.Tensor,
    num_federated: int,
    power: float,
) -> torch.Tensor:
    """The classes of the batch, filled up with absent ones, drawn ~ image_count^power.

    As in Detectron2, draw for draw: background counts among the classes of the batch, and where
    these are enough none is drawn. Classes without a picture never are.

    Args:
        gt_classes: (R,) in [0, K].
        image_count: (K,).
        num_federated: how many classes to fill up to.
        power: exponent.

    Returns:
        (K,) bool.
    """
    num_classes = len(image_count)
    present = torch.zeros(num_classes + 1, dtype=torch.bool)
    present[gt_classes.cpu()] = True
    # On CPU, where the draw is the same for every device; K + 1 as Detectron2 has them.
    chance = torch.zeros(num_classes + 1)
    chance[:num_classes] = image_count.cpu().float() ** power * (image_count.cpu() > 0)
    chance[present] = 0
    missing = min(num_federated - int(present.sum()), int((chance > 0).sum()))
    if missing > 0:
        present[torch.multinomial(chance, missing)] = True
    return present[:num_classes].to(gt_classes.device)
