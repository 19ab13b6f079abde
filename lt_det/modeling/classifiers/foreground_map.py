"""The linear layer with a learned map on its foreground logits: what stage 2 trains alone."""

from __future__ import annotations

import torch
from torch import nn

from lt_det.modeling.classifiers.base import LinearClassifier

__all__ = ["ForegroundMapClassifier"]


class ForegroundMapClassifier(LinearClassifier):
    """Base of classifiers that map the first K logits of a linear layer; the others stay.

    ``weight`` and ``bias`` are the linear layer's, so the classifier of stage 1 loads. What the
    map adds is in ``foreground_map``: ``SOLVER.TRAINABLE_PARAMS: ("*cls_score.foreground_map*",)``
    trains it alone, as published. ``SOLVER.WEIGHT_DECAY`` then acts on it alone too and pulls a
    scale to 0, not to 1: our configs set it to 0, the published code of MARC does not.

    Args:
        input_size: D.
        num_logits: C.
        num_classes: K; the first K logits are the foreground's.
        initial: names of the map's parameters, each with its values at the start.

    Raises:
        ValueError: if there are less than K logits.
    """

    def __init__(self, input_size: int, num_logits: int, num_classes: int, **initial: torch.Tensor):
        # Not LinearClassifier's: it would reset a map that is not there yet.
        nn.Linear.__init__(self, input_size, num_logits)
        if not 0 < num_classes <= num_logits:
            raise ValueError(
                f"Expected `num_classes` to be from 1 to the {num_logits} logits, but got "
                f"{num_classes}"
            )
        self.num_classes = num_classes
        self._initial = initial
        self.foreground_map = nn.ParameterDict(
            {name: nn.Parameter(value.clone()) for name, value in initial.items()}
        )
        self.reset(0.0)

    @torch.no_grad()
    def reset(self, bias: float) -> None:
        """Initialise linear layer and map anew, with the given bias."""
        super().reset(bias)
        for name, value in self._initial.items():
            self.foreground_map[name].copy_(value)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits (R, C) of features (R, D)."""
        logits = super().forward(features)
        foreground = self.map_foreground(logits[:, : self.num_classes], features)
        return torch.cat([foreground, logits[:, self.num_classes :]], dim=1)

    def map_foreground(self, logits: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """The map: (R, K) from the linear layer's (R, K) and the features (R, D)."""
        raise NotImplementedError
