"""Memory-augmented feature sampling: features of earlier RoIs, of classes that score low."""

from __future__ import annotations

import torch

from lt_det.modeling.feature_augmentations.base import (
    FEATURE_AUGMENTATION_REGISTRY,
    AugmentedRows,
    FeatureAugmentation,
)
from lt_det.registry import MethodCard

__all__ = ["FeatureMemoryAugmentation"]

DTYPES = ("float16", "float32")


@FEATURE_AUGMENTATION_REGISTRY.register()
class FeatureMemoryAugmentation(FeatureAugmentation):
    """Memory-augmented feature sampling (MFS), the feature side of LOCE.

    Feng et al., "Exploring Classification Equilibrium in Long-Tailed Object Detection", ICCV 2021,
    arXiv 2108.07507. Each class keeps the features of its last ``size`` foreground RoIs. A step
    draws classes with probability in proportion to the inverse of their mean score (a running mean
    of the probability that RoIs of the class get for it) and stored features of each. They are RoIs
    like the others: the loss is a mean over both.

    The released code differs, because it stores pooled feature maps where this stores what the
    classifier sees, 12 times smaller and the same where the box head is frozen (stage 2, as
    published; a box head that trains outdates them):
        - It stores 16 jittered boxes of each object; here the foreground RoIs that are sampled.
        - Its stored features train the box regression too.
        - Its running means take each object of a step for one observation, here each class of a
          step, and once more its stored features.
        - It draws on each GPU of 2 pictures; here ``classes`` and ``samples`` are those of all
          ranks: 64 classes in a step of 16 pictures.

    Args:
        num_classes: K.
        feature_size: D.
        size: features kept of a class. K * size * D values: 190 MiB on LVIS v1 in float16.
        classes: draws of a class a step, with replacement; a class without features is passed over.
        samples: features of each drawn class, with replacement.
        momentum: of the running mean score of a class, for each step that it is in.
        initial_score: where it starts.
        dtype: of the stored features, "float16" or "float32".

    Raises:
        ValueError: if an option has no meaning.
    """

    CARD = MethodCard(
        paper="Feng et al., LOCE, ICCV 2021",
        arxiv="2108.07507",
        equation="classes ~ 1 / mean score, features from a ring of each class's last RoIs",
        released="Stores pooled maps of jittered objects, which train the box regression too.",
        cost="K SIZE D half floats, CLASSES * SAMPLES more RoIs a step",
        use_when="Stage 2 with a frozen box head; as published beside the equilibrium loss.",
    )

    def __init__(
        self,
        num_classes: int,
        feature_size: int,
        *,
        size: int = 80,
        classes: int = 8,
        samples: int = 4,
        momentum: float = 0.9,
        initial_score: float = 0.01,
        dtype: str = "float16",
    ):
        super().__init__(num_classes, feature_size)
        for name, value in {"size": size, "classes": classes, "samples": samples}.items():
            if value < 1:
                raise ValueError(f"Expected `{name}` to be at least 1, but got {value}")
        if not 0 <= momentum < 1:
            raise ValueError(f"Expected `momentum` to be in [0, 1), but got {momentum}")
        if not 0 < initial_score <= 1:
            raise ValueError(f"Expected `initial_score` to be in (0, 1], but got {initial_score}")
        if dtype not in DTYPES:
            raise ValueError(f"Expected `dtype` to be one of {DTYPES}, but got {dtype!r}")
        self.size, self.classes, self.samples, self.momentum = size, classes, samples, momentum
        memory = torch.zeros(num_classes, size, feature_size, dtype=getattr(torch, dtype))
        self.register_buffer("memory", memory)
        # Features of a class that were ever stored; the next goes to its remainder by `size`.
        self.register_buffer("num_stored", torch.zeros(num_classes, dtype=torch.int64))
        self.register_buffer("mean_score", torch.full((num_classes,), float(initial_score)))

    def observe(self, features, gt_classes, own_probs):
        """See :meth:`FeatureAugmentation.observe`."""
        count = torch.bincount(gt_classes, minlength=self.num_classes)
        order = gt_classes.argsort(stable=True)
        gt_classes, features = gt_classes[order], features[order]
        # The number of each among those of its class; more than there is room for are left out.
        first = count.cumsum(0) - count
        number = torch.arange(len(order), device=order.device) - first[gt_classes]
        fits = number < self.size
        place = (self.num_stored[gt_classes] + number) % self.size
        self.memory[gt_classes[fits], place[fits]] = features[fits].to(self.memory)
        self.num_stored += count.clamp(max=self.size)
        self._move_scores(gt_classes, own_probs[order])

    def generate(self, class_stats, generator):
        """See :meth:`FeatureAugmentation.generate`."""
        rates = 1 / self.mean_score.double().cpu().clamp(min=1e-7)
        classes = torch.multinomial(rates, self.classes, replacement=True, generator=generator)
        number = self.num_stored.cpu().clamp(max=self.size)[classes, None]
        fraction = torch.rand(self.classes, self.samples, dtype=rates.dtype, generator=generator)
        has_features = number[:, 0] > 0
        if not has_features.any():
            return None
        place = (fraction * number).long()[has_features].flatten().to(self.memory.device)
        classes = classes[has_features].repeat_interleave(self.samples).to(self.memory.device)
        features = self.memory[classes, place].float()
        return AugmentedRows(features, classes, features.new_ones(len(classes)), as_rois=True)

    def feedback(self, gt_classes, own_probs):
        """See :meth:`FeatureAugmentation.feedback`."""
        self._move_scores(gt_classes, own_probs)

    def _move_scores(self, gt_classes: torch.Tensor, own_probs: torch.Tensor) -> None:
        count = torch.bincount(gt_classes, minlength=self.num_classes)
        total = torch.zeros_like(self.mean_score).index_add(0, gt_classes, own_probs.float())
        rate = (1 - self.momentum) * (count > 0)
        self.mean_score.lerp_(total / count.clamp(min=1), rate.to(total))
