"""FASA: virtual features of each class from a running Gaussian, as often as they help."""

from __future__ import annotations

import math

import torch

from lt_det.losses.base import ClassStatsBuffers
from lt_det.losses.prior import counts_above_zero
from lt_det.modeling.feature_augmentations.affinity_propagation import affinity_propagation
from lt_det.modeling.feature_augmentations.base import (
    FEATURE_AUGMENTATION_REGISTRY,
    AugmentedRows,
    FeatureAugmentation,
)
from lt_det.registry import MethodCard

__all__ = ["FASAAugmentation"]

GROUPINGS = ("similar", "released", "class")


@FEATURE_AUGMENTATION_REGISTRY.register()
class FASAAugmentation(FeatureAugmentation):
    """Feature Augmentation and Sampling Adaptation.

    Zang et al., "FASA", ICCV 2021, arXiv 2102.12867. Each class has a running mean and diagonal
    variance of its foreground features. In a draw, class c emits one sample of
    ``N(mean_c, variance_c)`` with probability ``p_c``, at first ``(1/n_c) / sum_k (1/n_k)`` of the
    instance counts n. Their mean loss, times ``weight``, is added to that of the RoIs.

    From time to time (``FEATURE_AUGMENTATION.PERIOD``) the loss on held-out pictures says whether
    they help: where the summed loss of a group of classes fell, their p_c are multiplied by
    ``up``, where it rose by ``down``.

    The released code differs:
        - It takes that loss from the LVIS *val* set, on which it then reports. Here it comes from
          training pictures set aside (``DATASETS.HOLDOUT``).
        - It groups classes by affinity propagation on their means, but hands the distances over as
          similarities, which puts classes together that are far apart: ``groups="released"``.
        - It draws on each GPU, from statistics of that GPU: 8 draws a step of 16 pictures. Here all
          ranks share statistics and rows; ``draws`` says how many.

    As released, the variance of a class seen once in a step counts as 0.

    Args:
        num_classes: K.
        feature_size: D.
        momentum: weight of a step in the running mean and variance.
        weight: of the virtual features' mean loss.
        power: exponent of the probabilities at the start.
        scale: factor on them.
        up: factor on p_c after a fall of the loss.
        down: factor on p_c after a rise.
        warmup: steps without virtual features; released: one epoch, about 6,000 on LVIS v1.
        draws: number of draws a step.
        groups: "similar" for classes whose means are close, "released" (above), "class" for each
            alone.

    Raises:
        ValueError: if an option has no meaning.
    """

    CARD = MethodCard(
        paper="Zang et al., FASA, ICCV 2021",
        arxiv="2102.12867",
        equation="class c emits N(mean_c, var_c) with p_c ~ 1/n_c; p_c x 1.1 or 0.9 by its loss",
        released="Adapts on val, here on DATASETS.HOLDOUT; groups far classes (GROUPS released).",
        cost="2 K D floats, sums over the foreground; a pass over held-out pictures a PERIOD",
        use_when="End to end, beside a plain loss, where rare classes have a few objects each.",
    )

    adapts = True

    def __init__(
        self,
        num_classes: int,
        feature_size: int,
        *,
        momentum: float = 0.1,
        weight: float = 0.1,
        power: float = 1.0,
        scale: float = 1.0,
        up: float = 1.1,
        down: float = 0.9,
        warmup: int = 6000,
        draws: int = 1,
        groups: str = "similar",
    ):
        super().__init__(num_classes, feature_size)
        options = {"weight": weight, "power": power, "scale": scale, "up": up, "down": down}
        for name, value in options.items():
            if not 0 <= value < math.inf:
                raise ValueError(f"Expected `{name}` to be finite and >= 0, but got {value}")
        if not 0 < momentum <= 1:
            raise ValueError(f"Expected `momentum` to be in (0, 1], but got {momentum}")
        if warmup < 0:
            raise ValueError(f"Expected `warmup` to be at least 0, but got {warmup}")
        if draws < 1:
            raise ValueError(f"Expected `draws` to be at least 1, but got {draws}")
        if groups not in GROUPINGS:
            raise ValueError(f"Expected `groups` to be one of {GROUPINGS}, but got {groups!r}")
        self.momentum, self.weight, self.power, self.scale = momentum, weight, power, scale
        self.up, self.down = up, down
        self.warmup, self.draws, self.groups = warmup, draws, groups
        self.register_buffer("mean", torch.zeros(num_classes, feature_size))
        self.register_buffer("variance", torch.zeros(num_classes, feature_size))
        self.register_buffer("is_observed", torch.zeros(num_classes, dtype=torch.bool))
        # What adaptation has made of the probabilities of the start.
        self.register_buffer("factor", torch.ones(num_classes, dtype=torch.float64))
        self.register_buffer("last_losses", torch.full((num_classes,), math.nan))

    def observe(self, features, gt_classes, own_probs):
        """See :meth:`FeatureAugmentation.observe`."""
        features = features.to(self.mean)
        count = torch.bincount(gt_classes, minlength=self.num_classes)[:, None]
        zero = torch.zeros_like(self.mean)
        mean = zero.index_add(0, gt_classes, features) / count.clamp(min=1)
        squares = (features - mean[gt_classes]).square()
        variance = zero.index_add(0, gt_classes, squares) / (count - 1).clamp(min=1)
        rate = torch.where(self.is_observed, self.momentum, 1.0)[:, None] * (count > 0)
        self.mean.lerp_(mean, rate.to(mean))
        self.variance.lerp_(variance, rate.to(mean))
        self.is_observed |= count[:, 0] > 0

    def generate(self, class_stats, generator):
        """See :meth:`FeatureAugmentation.generate`."""
        if self.num_steps <= self.warmup:
            return None
        rates = (self.sampling_probs(class_stats) * self.is_observed).cpu()
        uniform = torch.rand(self.draws, self.num_classes, dtype=rates.dtype, generator=generator)
        draw, gt_classes = (uniform < rates).nonzero(as_tuple=True)
        if not len(draw):
            return None
        noise = torch.randn(len(draw), self.feature_size, generator=generator).to(self.mean)
        # A mean over each draw, and over the draws; one that is empty counts as 0.
        weights = self.weight / self.draws / draw.bincount()[draw]
        gt_classes = gt_classes.to(self.mean.device)
        features = self.mean[gt_classes] + self.variance[gt_classes].sqrt() * noise
        return AugmentedRows(features, gt_classes, weights.to(self.mean))

    def adapt(self, class_losses, class_stats):
        """See :meth:`FeatureAugmentation.adapt`; the first time there is nothing to compare."""
        class_losses = class_losses.to(self.last_losses)
        if not self.last_losses.isnan().any():
            groups = self.class_groups()
            change = torch.zeros_like(class_losses).index_add(
                0, groups, class_losses - self.last_losses
            )[groups]
            change = change.double()
            factor = self.factor * torch.where(
                change < 0, self.up, torch.where(change > 0, self.down, 1.0)
            )
            # No probability exceeds 1.
            self.factor = torch.minimum(factor, 1 / self._initial_probs(class_stats))
        self.last_losses = class_losses.clone()

    def sampling_probs(self, class_stats: ClassStatsBuffers) -> torch.Tensor:
        """p_c, (K,) float64."""
        return self._initial_probs(class_stats) * self.factor

    def class_groups(self) -> torch.Tensor:
        """The group of each class, (K,) in [0, K). One without features is alone."""
        groups = torch.arange(self.num_classes, device=self.mean.device)
        if self.groups == "class":
            return groups
        classes = self.is_observed.nonzero()[:, 0]
        distance = torch.cdist(self.mean[classes].double(), self.mean[classes].double()).square()
        similarity = distance if self.groups == "released" else -distance
        labels = torch.from_numpy(affinity_propagation(similarity.cpu().numpy())).to(classes)
        # A group goes by the number of one of its classes.
        name = torch.zeros_like(groups).index_copy(0, labels, classes)
        groups[classes] = name[labels]
        return groups

    def _initial_probs(self, class_stats: ClassStatsBuffers) -> torch.Tensor:
        if not class_stats.is_set:
            raise ValueError(
                "FASAAugmentation needs class statistics and its loss has none: pass the loss "
                "`class_stats`, or build the model with a registered DATASETS.TRAIN"
            )
        inverse = 1 / counts_above_zero(class_stats, "instance")
        return (self.scale * (inverse / inverse.sum()) ** self.power).clamp(max=1)
