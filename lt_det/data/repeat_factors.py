"""Repeat factors: how often each picture is shown, by how rare its classes are."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data.samplers import RepeatFactorTrainingSampler

from lt_det.class_stats import ClassStats
from lt_det.data.class_lists import ClassLists
from lt_det.registry import MethodCard

__all__ = [
    "INSTANCE_AWARE_CARD",
    "REPEAT_CAP_CARD",
    "REPEAT_FACTOR_CARD",
    "REPEAT_FREQUENCIES",
    "check_repeat_factors",
    "repeat_factors",
]

logger = logging.getLogger(__name__)

# What DATALOADER.REPEAT_FREQUENCY may be.
REPEAT_FREQUENCIES = ("image", "image_and_instance")

REPEAT_FACTOR_CARD = MethodCard(
    paper="Gupta et al., LVIS, CVPR 2019",
    arxiv="1908.03195",
    equation="r_c = max(1, sqrt(t / f_c)), r(I) = max of its classes",
    cost="one count of the annotations; more pictures in an epoch",
    use_when="End to end on LVIS, t = 0.001, and in stage 1: the usual baseline.",
)
INSTANCE_AWARE_CARD = MethodCard(
    paper="Yaman et al., Instance-Aware Repeat Factor Sampling, 2023",
    arxiv="2305.08069",
    equation="r_c = max(1, sqrt(t / sqrt(f_c q_c))), r(I) = max of its classes",
    cost="one count of the annotations",
    use_when="End to end and in stage 1, where classes of equal image counts differ in instances.",
)
REPEAT_CAP_CARD = MethodCard(
    paper="Ours",
    equation="r(I) = min(r(I), cap)",
    cost="nothing",
    use_when="Where single pictures would be repeated dozens of times.",
)


def repeat_factors(cfg: CfgNode, dataset_dicts: Sequence[dict]) -> torch.Tensor:
    """The repeat factor r(I) >= 1 of each picture, (N,) float32.

    ``r(I) = max over c in I of max(1, sqrt(t / f_c))``, Gupta et al., "LVIS", CVPR 2019,
    arXiv 1908.03195, with ``t = DATALOADER.REPEAT_THRESHOLD`` (``REPEAT_SQRT`` False leaves the
    root out). ``DATALOADER.REPEAT_FREQUENCY`` says what f_c is:

    - "image": the share of pictures with class c, by Detectron2's own function;
    - "image_and_instance": instance-aware repeat factors (IRFS), Yaman et al., arXiv 2305.08069:
      the geometric mean of that share and of c's share of all instances. An instance share is
      smaller than a picture share, so the same t repeats more pictures.

    ``DATALOADER.REPEAT_CAP`` bounds r(I) from above, because a picture that is shown 20 times as
    often is learnt by heart; 0 is no bound. The cap is ours.

    One log line sums up the factors, where Detectron2 has one for each category.

    Args:
        cfg: the config.
        dataset_dicts: training records.

    Raises:
        ValueError: if one of the keys has no meaning.
    """
    check_repeat_factors(cfg)
    loader = cfg.DATALOADER
    if loader.REPEAT_FREQUENCY == "image":
        with _quiet("detectron2.data.samplers.distributed_sampler"):
            factors = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(
                dataset_dicts, loader.REPEAT_THRESHOLD, sqrt=loader.REPEAT_SQRT
            )
    else:
        factors = _instance_aware(dataset_dicts, loader.REPEAT_THRESHOLD, loader.REPEAT_SQRT)
    if loader.REPEAT_CAP:
        factors = factors.clamp(max=loader.REPEAT_CAP)
    if len(factors):
        logger.info(
            "Repeat factors by %s frequency: %.1f %% of %d pictures are repeated, factors up to "
            "%.2f, an epoch has %.2f times as many pictures",
            loader.REPEAT_FREQUENCY,
            100 * (factors > 1).double().mean(),
            len(factors),
            factors.max(),
            factors.double().mean(),
        )
    return factors


def check_repeat_factors(cfg: CfgNode) -> None:
    """Raise ValueError if ``REPEAT_FREQUENCY`` or ``REPEAT_CAP`` has no meaning."""
    loader = cfg.DATALOADER
    if loader.REPEAT_FREQUENCY not in REPEAT_FREQUENCIES:
        raise ValueError(
            f"Expected DATALOADER.REPEAT_FREQUENCY to be one of {REPEAT_FREQUENCIES}, but got "
            f"{loader.REPEAT_FREQUENCY!r}"
        )
    if not (loader.REPEAT_CAP == 0 or loader.REPEAT_CAP >= 1):
        raise ValueError(
            "Expected DATALOADER.REPEAT_CAP to be at least 1, or 0 for none, but got "
            f"{loader.REPEAT_CAP}"
        )


def _instance_aware(dataset_dicts: Sequence[dict], threshold: float, sqrt: bool) -> torch.Tensor:
    classes = ClassLists.from_dicts(dataset_dicts)
    factors = np.ones(len(classes))
    if len(classes.class_ids):
        num_classes = int(classes.class_ids.max()) + 1
        stats = ClassStats.from_dicts(dataset_dicts, num_classes)
        # Absent classes have no frequency, and no picture asks for theirs.
        with np.errstate(divide="ignore"):
            # As in Detectron2, of all pictures, those without annotations too.
            ratio = threshold / np.sqrt(
                (stats.image_count / len(classes))
                * (stats.instance_count / stats.instance_count.sum())
            )
        per_class = np.sqrt(ratio) if sqrt else ratio
        np.maximum.at(factors, classes.images, per_class[classes.class_ids])
    return torch.from_numpy(factors).float()


@contextlib.contextmanager
def _quiet(logger_name: str) -> Iterator[None]:
    quiet = logging.getLogger(logger_name)
    level = quiet.level
    quiet.setLevel(logging.WARNING)
    try:
        yield
    finally:
        quiet.setLevel(level)
