"""Training samplers for imbalanced data, as index streams.

A sampler is registered in :data:`TRAIN_SAMPLER_REGISTRY` and built as
``cls(dataset_dicts, num_classes, seed, **hyper_parameters)``; its keyword-only parameters are the
config keys ``DATALOADER.<NODE>.<PARAM>``. Detectron2's own samplers keep their names and keys;
repeat factors have keys beside them, see :mod:`lt_det.data.repeat_factors`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import build
from detectron2.data.samplers import (
    RandomSubsetTrainingSampler,
    RepeatFactorTrainingSampler,
    TrainingSampler,
)
from detectron2.utils import comm
from fvcore.common.registry import Registry
from torch.utils.data import Sampler

from lt_det.data.class_lists import ClassLists
from lt_det.data.repeat_factors import repeat_factors
from lt_det.method_card import MethodCard
from lt_det.registry import kwargs_from_node, lookup
from lt_det.seeding import seeded

__all__ = [
    "TRAIN_SAMPLER_REGISTRY",
    "ClassAwareTrainingSampler",
    "build_train_sampler",
    "image_weights_from_config",
]

TRAIN_SAMPLER_REGISTRY = Registry("TRAIN_SAMPLER")
TRAIN_SAMPLER_REGISTRY.__doc__ = "Training samplers beside Detectron2's own."

# Suffix that is no part of a sampler's config node.
SAMPLER_SUFFIX = "TrainingSampler"


@TRAIN_SAMPLER_REGISTRY.register()
class ClassAwareTrainingSampler(Sampler):
    """Draws a class, then an image that contains it, with replacement, for ever.

    Class-aware (class-balanced) sampling of Shen et al., "Relay Backpropagation", ECCV 2016, as
    two streams: no repeated index list is built, which on LVIS would hold 55 million entries. An
    image has several classes, so its other classes are seen along: class frequencies come out
    flatter than the data's, not uniform.

    Args:
        dataset_dicts: training records; only ``category_id`` is read.
        num_classes: K. Classes without an image are never drawn.
        seed: the stream's seed, the same on every rank; None draws one and shares it.
        power: a class is drawn with probability proportional to image_count ** power. 0 is
            uniform, 0.5 square-root sampling, 1 follows the data.

    Raises:
        ValueError: if no record has an annotation, a ``category_id`` is outside [0, K) or ``power``
            is not in [0, 1].
    """

    CARD = MethodCard(
        paper="Shen et al., Relay Backpropagation, ECCV 2016",
        arxiv="1512.05830",
        equation="class with probability ~ image_count^power, then a picture of it",
        released=(
            "Kang et al. (arXiv 1910.09217) go through shuffled classes, and through each class's "
            "shuffled pictures; here both are drawn with replacement."
        ),
        cost="a picture index: 16 B a pair of picture and class",
        use_when=(
            "cRT and LWS; POWER 0.5 is square-root sampling. Not under a balanced loss without "
            "REPEAT_CORRECTED."
        ),
    )

    # Draws are made in blocks: one multinomial call for each would dominate the loader.
    _BLOCK = 4096

    def __init__(
        self,
        dataset_dicts: Sequence[dict],
        num_classes: int,
        seed: int | None = None,
        *,
        power: float = 0.0,
    ):
        if not 0 <= power <= 1:
            raise ValueError(f"Expected `power` to be in [0, 1], but got {power}")
        self._seed = comm.shared_random_seed() if seed is None else int(seed)
        # Kept here, as Detectron2's samplers do: a loader's worker process may not know its rank.
        self._rank = comm.get_rank()
        self._world_size = comm.get_world_size()
        self._num_images = len(dataset_dicts)
        lists = ClassLists.from_dicts(dataset_dicts)
        class_ids = lists.class_ids
        if not len(class_ids):
            raise ValueError("ClassAwareTrainingSampler needs at least one annotated image")
        if class_ids.min() < 0 or class_ids.max() >= num_classes:
            raise ValueError(
                f"Expected every category_id to be in [0, {num_classes}), but they reach from "
                f"{class_ids.min()} to {class_ids.max()}: NUM_CLASSES does not fit the data set"
            )
        # Images of class c are self._images[start[c] : start[c] + image_count[c]].
        self._images = torch.from_numpy(lists.images[class_ids.argsort(kind="stable")])
        self._image_count = torch.from_numpy(np.bincount(class_ids, minlength=num_classes))
        self._start = self._image_count.cumsum(0) - self._image_count
        weight = self._image_count.double().pow(power) * (self._image_count > 0)
        self._class_rate = weight / weight.sum()

    def image_weights(self) -> np.ndarray:
        """Expected draws of every image in an epoch of as many draws as images, shape (N,)."""
        per_image = (self._class_rate / self._image_count.clamp(min=1)).repeat_interleave(
            self._image_count
        )
        weights = torch.zeros(self._num_images, dtype=torch.float64)
        return (self._num_images * weights.index_add_(0, self._images, per_image)).numpy()

    def __iter__(self) -> Iterator[int]:
        """This rank's share of the stream."""
        yield from itertools.islice(self._infinite_indices(), self._rank, None, self._world_size)

    def _infinite_indices(self) -> Iterator[int]:
        generator = torch.Generator()
        generator.manual_seed(self._seed)
        while True:
            classes = torch.multinomial(
                self._class_rate, self._BLOCK, replacement=True, generator=generator
            )
            fraction = torch.rand(self._BLOCK, dtype=torch.float64, generator=generator)
            offset = (fraction * self._image_count[classes]).long()
            yield from self._images[self._start[classes] + offset].tolist()


def build_train_sampler(cfg: CfgNode, dataset_dicts: Sequence[dict], seed: int) -> Sampler:
    """The sampler ``DATALOADER.SAMPLER_TRAIN`` names, Detectron2's or ours.

    Args:
        cfg: the config.
        dataset_dicts: training records.
        seed: the stream's seed, the same on every rank.

    Raises:
        ValueError: if neither Detectron2 nor the registry knows the name.
    """
    name = cfg.DATALOADER.SAMPLER_TRAIN
    if name in _DETECTRON2_SAMPLERS:
        return _DETECTRON2_SAMPLERS[name](cfg, dataset_dicts, seed)
    cls = lookup(
        TRAIN_SAMPLER_REGISTRY, name, "DATALOADER.SAMPLER_TRAIN", others=_DETECTRON2_SAMPLERS
    )
    hyper = kwargs_from_node(cfg.DATALOADER, cls, SAMPLER_SUFFIX)
    return cls(dataset_dicts, cfg.MODEL.ROI_HEADS.NUM_CLASSES, seed, **hyper)


def image_weights_from_config(cfg: CfgNode, dataset_dicts: Sequence[dict]) -> np.ndarray | None:
    """How often the sampler shows each image, relative to the others; None if equally."""
    name = cfg.DATALOADER.SAMPLER_TRAIN
    if name == "RepeatFactorTrainingSampler":
        return repeat_factors(cfg, dataset_dicts).double().numpy()
    if name in _DETECTRON2_SAMPLERS:
        return None
    return build_train_sampler(cfg, dataset_dicts, seed=0).image_weights()


def _repeat_factor_sampler(cfg: CfgNode, dataset_dicts: Sequence[dict], seed: int) -> Sampler:
    return RepeatFactorTrainingSampler(repeat_factors(cfg, dataset_dicts), seed=seed)


def _random_subset_sampler(cfg: CfgNode, dataset_dicts: Sequence[dict], seed: int) -> Sampler:
    ratio = cfg.DATALOADER.RANDOM_SUBSET_RATIO
    return RandomSubsetTrainingSampler(
        len(dataset_dicts), ratio, seed_shuffle=seed, seed_subset=seed
    )


def _weighted_sampler(cfg: CfgNode, seed: int, category_balance: bool) -> Sampler:
    # Detectron2 has no public way to build these two, and draws their seed from NumPy.
    with seeded(seed):
        return build._build_weighted_sampler(cfg, enable_category_balance=category_balance)


# Detectron2's own loader gives the first two no seed.
_DETECTRON2_SAMPLERS = {
    "TrainingSampler": lambda cfg, dataset_dicts, seed: TrainingSampler(
        len(dataset_dicts), seed=seed
    ),
    "RandomSubsetTrainingSampler": _random_subset_sampler,
    "RepeatFactorTrainingSampler": _repeat_factor_sampler,
    "WeightedTrainingSampler": lambda cfg, _, seed: _weighted_sampler(cfg, seed, False),
    "WeightedCategoryTrainingSampler": lambda cfg, _, seed: _weighted_sampler(cfg, seed, True),
}
