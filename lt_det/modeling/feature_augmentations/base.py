"""The contract of a feature augmentation: rows beside the RoIs that train the classifier.

An augmentation watches the features of foreground RoIs and adds rows of its own to a training step.
It is registered in :data:`FEATURE_AUGMENTATION_REGISTRY` and built as
``cls(num_classes, feature_size, **hyper_parameters)``; its keyword-only parameters are the config
keys ``MODEL.ROI_BOX_HEAD.FEATURE_AUGMENTATION.<NODE>.<PARAM>``. Its state is in the checkpoint and
the same on all ranks, which draw the same rows, so several processes train what one trains.

Shape shorthand: see :mod:`lt_det.losses.base`. D is the size of a feature, A the number of rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from fvcore.common.registry import Registry
from torch import nn

from lt_det.losses.base import BoxClsLoss, ClassStatsBuffers, ExactBuffers
from lt_det.utils.distributed import gather_rows, rank, sum_over_ranks
from lt_det.utils.seeding import derived_seed

__all__ = [
    "FEATURE_AUGMENTATION_REGISTRY",
    "FEATURE_AUGMENTATION_SUFFIX",
    "AugmentedRows",
    "FeatureAugmentation",
]

FEATURE_AUGMENTATION_REGISTRY = Registry("FEATURE_AUGMENTATION")
FEATURE_AUGMENTATION_REGISTRY.__doc__ = "What adds features to :class:`LTFastRCNNOutputLayers`."
FEATURE_AUGMENTATION_SUFFIX = "Augmentation"


@dataclass(frozen=True)
class AugmentedRows:
    """Rows to train the classifier on.

    Args:
        features: (A, D), A > 0.
        gt_classes: (A,) in [0, K).
        weights: (A,), of each row's loss.
        as_rois: the rows are RoIs like the others: the loss is a mean over both, and the loss's
            running statistics see them. Otherwise their weighted sum is added to the mean.
    """

    features: torch.Tensor
    gt_classes: torch.Tensor
    weights: torch.Tensor
    as_rois: bool = False


class FeatureAugmentation(ExactBuffers):
    """Base of all feature augmentations.

    Args:
        num_classes: K.
        feature_size: D.
    """

    #: Whether :meth:`adapt` wants losses of held-out training pictures (``DATASETS.HOLDOUT``).
    adapts = False

    def __init__(self, num_classes: int, feature_size: int):
        super().__init__()
        self.num_classes = num_classes
        self.feature_size = feature_size
        self.register_buffer("num_steps", torch.zeros((), dtype=torch.int64))

    def check(self, num_classes: int, feature_size: int) -> None:
        """Raise ValueError unless the augmentation is of a predictor's K and D."""
        if (self.num_classes, self.feature_size) != (num_classes, feature_size):
            raise ValueError(
                f"Expected a `feature_augmentation` of {num_classes} classes and {feature_size} "
                f"features, but {type(self).__name__} has {self.num_classes} and "
                f"{self.feature_size}"
            )

    def observe(
        self, features: torch.Tensor, gt_classes: torch.Tensor, own_probs: torch.Tensor
    ) -> None:
        """Learn from the foreground RoIs of a step, those of all ranks.

        Args:
            features: (F, D), without a gradient; F may be 0.
            gt_classes: (F,) in [0, K).
            own_probs: (F,), the predicted probability of each RoI's class.
        """
        raise NotImplementedError

    def generate(
        self, class_stats: ClassStatsBuffers, generator: torch.Generator
    ) -> AugmentedRows | None:
        """The rows of a step, None for none.

        Args:
            class_stats: of the training set, as the loss has them.
            generator: on CPU, in the same state on all ranks.
        """
        raise NotImplementedError

    def feedback(self, gt_classes: torch.Tensor, own_probs: torch.Tensor) -> None:
        """Learn how the classifier takes the rows of a step.

        Args:
            gt_classes: (A,).
            own_probs: (A,), see :meth:`observe`.
        """
        return None

    def adapt(self, class_losses: torch.Tensor, class_stats: ClassStatsBuffers) -> None:
        """Adapt to the loss on held-out pictures.

        Args:
            class_losses: (K,), the sum over RoIs of each class over the number of all RoIs.
            class_stats: of the training set, as the loss has them.
        """
        return None

    def add_to(
        self,
        loss: torch.Tensor,
        features: torch.Tensor,
        logits: torch.Tensor,
        gt_classes: torch.Tensor,
        weights: torch.Tensor | None,
        classifier: nn.Module,
        cls_loss: BoxClsLoss,
    ) -> torch.Tensor:
        """The classification loss of a training step with the augmentation's rows.

        All ranks must call it. Rows train the classifier alone: they are constants.

        Args:
            loss: (), of the RoIs; its mean over the ranks is that over all RoIs.
            features: (R, D).
            logits: (R, C), of the features.
            gt_classes: (R,).
            weights: (R,), how many RoIs each stands for; None is one each. A feature bank gives
                background other weights than 1, never foreground, which is observed row by row.
            classifier: features -> logits.
            cls_loss: what logits and classes are compared by.
        """
        self._observe(features, logits, gt_classes, cls_loss)
        rows = self.generate(cls_loss.class_stats, self._generator())
        if rows is None:
            return loss
        row_logits = _at_least_float32(classifier(rows.features.to(features)))
        # Rows are of no image, so no list says anything about their negatives.
        known_negatives = rows.gt_classes.new_zeros((len(rows.gt_classes), self.num_classes)).bool()
        mask = cls_loss.draw_mask(rows.gt_classes, known_negatives, rows.weights)
        row_losses = cls_loss(row_logits, rows.gt_classes, mask)
        total = (rows.weights.to(row_losses) * row_losses).sum()
        self.feedback(rows.gt_classes, _own_probs(cls_loss, row_logits, rows.gt_classes))
        if not rows.as_rois:
            return loss + total
        # Every rank has the rows; they are to be counted once.
        own = slice(None) if rank() == 0 else slice(0)
        cls_loss.update_state(row_logits.detach()[own], rows.gt_classes[own], rows.weights[own])
        num_rois = weights.sum() if weights is not None else torch.tensor(len(gt_classes))
        num_rois = sum_over_ranks(num_rois.to(loss.detach()))
        return (loss * num_rois + total) / (num_rois + rows.weights.sum().to(loss))

    @torch.no_grad()
    def _observe(self, features, logits, gt_classes, cls_loss) -> None:
        foreground = gt_classes < self.num_classes
        gt_classes = gt_classes[foreground]
        own_probs = _own_probs(cls_loss, _at_least_float32(logits[foreground]), gt_classes)
        seen = (gather_rows(t) for t in (features[foreground], gt_classes, own_probs))
        self.observe(*seen)
        self.num_steps += 1

    def _generator(self) -> torch.Generator:
        """A generator of this step, the same on all ranks: by the seed that rank 0 was given."""
        seed = torch.tensor(torch.initial_seed() % 2**63 if rank() == 0 else 0)
        key = int(sum_over_ranks(seed)), int(self.num_steps)
        return torch.Generator().manual_seed(derived_seed(*key))


@torch.no_grad()
def _own_probs(cls_loss: BoxClsLoss, logits: torch.Tensor, gt_classes: torch.Tensor):
    """The probability (R,) of each RoI's class by its logits (R, C)."""
    return cls_loss.predict_probs(logits).gather(1, gt_classes[:, None])[:, 0]


def _at_least_float32(logits: torch.Tensor) -> torch.Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
