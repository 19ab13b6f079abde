"""The sampler that ``DATALOADER.SAMPLER_TRAIN`` names.

Detectron2's own keep their names and keys; repeat factors have keys beside them, see
:mod:`lt_det.data.repeat_factors`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import build
from detectron2.data.samplers import (
    RandomSubsetTrainingSampler,
    RepeatFactorTrainingSampler,
    TrainingSampler,
)
from torch.utils.data import Sampler

from lt_det.data.repeat_factors import repeat_factors
from lt_det.data.samplers.base import SAMPLER_SUFFIX, TRAIN_SAMPLER_REGISTRY
from lt_det.registry import kwargs_from_node, lookup
from lt_det.utils.seeding import seeded

__all__ = ["build_train_sampler", "image_weights_from_config"]


def build_train_sampler(cfg: CfgNode, dataset_dicts: Sequence[dict], seed: int) -> Sampler:
    """The sampler ``DATALOADER.SAMPLER_TRAIN`` names, Detectron2's or ours.

    Args:
        cfg: the config.
        dataset_dicts: training records.
        seed: the stream's seed, the same on every rank.

    Raises:
        ValueError: if neither Detectron2 nor the registry knows the name, or the class it names is
            no stream.
    """
    name = cfg.DATALOADER.SAMPLER_TRAIN
    if name in _DETECTRON2_SAMPLERS:
        return _DETECTRON2_SAMPLERS[name](cfg, dataset_dicts, seed)
    cls = lookup(
        TRAIN_SAMPLER_REGISTRY, name, "DATALOADER.SAMPLER_TRAIN", others=_DETECTRON2_SAMPLERS
    )
    hyper = kwargs_from_node(cfg.DATALOADER, cls, SAMPLER_SUFFIX)
    sampler = cls(dataset_dicts, cfg.MODEL.ROI_HEADS.NUM_CLASSES, seed, **hyper)
    if not hasattr(sampler, "_infinite_indices"):
        raise ValueError(
            f"DATALOADER.SAMPLER_TRAIN {name!r} is no endless stream that ranks share: derive it "
            "from lt_det.data.samplers.PictureSampler or from a training sampler of Detectron2's"
        )
    return sampler


def image_weights_from_config(cfg: CfgNode, dataset_dicts: Sequence[dict]) -> np.ndarray | None:
    """How often the sampler shows each image, relative to the others; None if equally.

    Raises:
        ValueError: if a registered sampler does not say.
    """
    name = cfg.DATALOADER.SAMPLER_TRAIN
    if name == "RepeatFactorTrainingSampler":
        return repeat_factors(cfg, dataset_dicts).double().numpy()
    if name in _DETECTRON2_SAMPLERS:
        return None
    sampler = build_train_sampler(cfg, dataset_dicts, seed=0)
    if not hasattr(sampler, "image_weights"):
        raise ValueError(
            "DATALOADER.REPEAT_CORRECTED True counts classes as the sampler shows them, but "
            f"{name} has no `image_weights()`: give it one, see "
            "lt_det.data.samplers.PictureSampler, or set the key to False"
        )
    return sampler.image_weights()


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
