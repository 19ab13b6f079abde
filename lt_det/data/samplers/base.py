"""The contract of a training sampler: how often each picture is drawn.

A sampler is registered in :data:`TRAIN_SAMPLER_REGISTRY` and built as
``cls(dataset_dicts, num_classes, seed, **hyper_parameters)``; its keyword-only parameters are the
config keys ``DATALOADER.<NODE>.<PARAM>``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from detectron2.utils import comm
from fvcore.common.registry import Registry
from torch.utils.data import Sampler

from lt_det.data.class_lists import ClassLists

__all__ = ["SAMPLER_SUFFIX", "TRAIN_SAMPLER_REGISTRY", "PictureSampler", "class_lists"]

TRAIN_SAMPLER_REGISTRY = Registry("TRAIN_SAMPLER")
TRAIN_SAMPLER_REGISTRY.__doc__ = "Training samplers beside Detectron2's own."

# Suffix that is no part of a sampler's config node.
SAMPLER_SUFFIX = "TrainingSampler"


class PictureSampler(Sampler):
    """Base of all samplers: pictures drawn by their weights, with replacement, for ever.

    A subclass states :meth:`image_weights`; it overrides :meth:`stream` where the draw itself is
    another one. All ranks have the same stream and take turns, so several processes draw what one
    draws.

    Args:
        dataset_dicts: N training records.
        num_classes: K.
        seed: the stream's seed, the same on every rank; None draws one and shares it.
    """

    #: Whether rare classes are drawn more often than the data has them, so that a second correction
    #: (a balanced loss) is worth a warning.
    corrects_imbalance = False
    # Draws are made in blocks: one call for each would dominate the loader.
    _BLOCK = 4096

    def __init__(self, dataset_dicts: Sequence[dict], num_classes: int, seed: int | None = None):
        self.num_images = len(dataset_dicts)
        self.num_classes = num_classes
        self._seed = comm.shared_random_seed() if seed is None else int(seed)
        # Kept here, as Detectron2's samplers do: a loader's worker process may not know its rank.
        self._rank = comm.get_rank()
        self._world_size = comm.get_world_size()

    def image_weights(self) -> np.ndarray:
        """Expected draws of every image in an epoch of as many draws as images, shape (N,)."""
        raise NotImplementedError

    def stream(self, generator: torch.Generator) -> Iterator[int]:
        """Endless indices in [0, N) that follow :meth:`image_weights`.

        Args:
            generator: the only source of randomness, in the same state on all ranks.

        Raises:
            ValueError: if no picture has a positive weight.
        """
        ends = torch.from_numpy(np.asarray(self.image_weights(), dtype=np.float64)).cumsum(0)
        if not (len(ends) and ends[-1] > 0):
            raise ValueError(
                f"{type(self).__name__} has no picture to draw: expected `image_weights()` with a "
                f"positive sum, but got those of {self.num_images} pictures with the sum "
                f"{ends[-1] if len(ends) else 0:g}"
            )
        while True:
            uniform = torch.rand(self._BLOCK, dtype=torch.float64, generator=generator)
            # To the right: a picture of weight 0 has no interval. Rounding may reach the last end.
            drawn = torch.searchsorted(ends, uniform * ends[-1], right=True)
            yield from drawn[drawn < self.num_images].tolist()

    def __iter__(self) -> Iterator[int]:
        """This rank's share of the stream."""
        yield from itertools.islice(self._infinite_indices(), self._rank, None, self._world_size)

    def _infinite_indices(self) -> Iterator[int]:
        # Detectron2's name for the stream of all ranks, by which the loader reads its samplers too.
        yield from self.stream(torch.Generator().manual_seed(self._seed))


def class_lists(dataset_dicts: Sequence[dict], num_classes: int, user: str) -> ClassLists:
    """The distinct classes of every picture, crowd regions left out, checked.

    Args:
        dataset_dicts: training records; only ``category_id`` and ``iscrowd`` are read.
        num_classes: K.
        user: who needs them, for the message.

    Raises:
        ValueError: if no record has an annotation or a ``category_id`` is outside [0, K).
    """
    lists = ClassLists.from_dicts(dataset_dicts)
    class_ids = lists.class_ids
    if not len(class_ids):
        raise ValueError(f"{user} needs at least one annotated image")
    if class_ids.min() < 0 or class_ids.max() >= num_classes:
        raise ValueError(
            f"Expected every category_id to be in [0, {num_classes}), but they reach from "
            f"{class_ids.min()} to {class_ids.max()}: NUM_CLASSES does not fit the data set"
        )
    return lists
