"""The contract of a classification loss of the box head.

Shape shorthand:
    R: number of RoIs in the batch. K: number of foreground classes; index K is background.
    C: number of logits a RoI has, ``num_logits`` (K + 1 with a background column, or K).

Naming: ``logits`` are raw scores (R, C); ``probs`` are what comes after the activation (R, K + 1);
``gt_classes`` are labels in [0, K].
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from fvcore.common.registry import Registry
from torch import nn

from lt_det.class_stats import ClassStats

__all__ = [
    "BOX_CLS_LOSS_REGISTRY",
    "LOSS_SUFFIX",
    "BoxClsLoss",
    "ClassStatsBuffers",
    "ExactBuffers",
]

BOX_CLS_LOSS_REGISTRY = Registry("BOX_CLS_LOSS")
BOX_CLS_LOSS_REGISTRY.__doc__ = """
Classification losses for :class:`lt_det.modeling.LTFastRCNNOutputLayers`. A registered class is
called as ``cls(num_classes, class_stats, **hyper_parameters)``.
"""
# The end of a class name that is no part of its config node.
LOSS_SUFFIX = "Loss"


class ExactBuffers(nn.Module):
    """Statistics of a loss: buffers that keep their precision and are in the checkpoint.

    For running statistics make one in ``__init__``, ``register_buffer`` into it and change the
    buffers in :meth:`BoxClsLoss.update_state`, summed over the ranks. Checkpoints without them (of
    another loss, stock Detectron2's) load silently and leave what was there.
    """

    def _apply(self, fn, recurse=True):
        # Counts stay float64: half precision would round large ones. Only the device may change.
        return super()._apply(lambda tensor: tensor.to(fn(tensor).device), recurse)

    def _load_from_state_dict(self, state_dict: Mapping, prefix: str, *args, **kwargs) -> None:
        # All or nothing: fvcore drops those of another number of classes, but not scalars.
        if all(f"{prefix}{name}" in state_dict for name in self._buffers):
            super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


class ClassStatsBuffers(ExactBuffers):
    """The class statistics a model was trained with, as buffers, so checkpoints carry them.

    Evaluation and resume thus need no training set.
    """

    def __init__(self, num_classes: int):
        super().__init__()
        self.num_classes = num_classes
        self.register_buffer("num_images", torch.zeros((), dtype=torch.float64))
        self.register_buffer("image_count", torch.zeros(num_classes, dtype=torch.float64))
        self.register_buffer("instance_count", torch.zeros(num_classes, dtype=torch.float64))

    @property
    def is_set(self) -> bool:
        """False until statistics were assigned or loaded."""
        return bool(self.num_images > 0)

    def assign(self, stats: ClassStats) -> None:
        """Take over ``stats``.

        Raises:
            TypeError: if they are something else.
            ValueError: if they are of another number of classes.
        """
        if not isinstance(stats, ClassStats):
            raise TypeError(
                "Expected `class_stats` to be a lt_det.class_stats.ClassStats, such as "
                f"ClassStats.load(file) or compute_class_stats(data_set), but got {stats!r}"
            )
        if stats.num_classes != self.num_classes:
            raise ValueError(
                f"Class statistics are of {stats.num_classes} classes, but the model has "
                f"{self.num_classes}: set MODEL.ROI_HEADS.NUM_CLASSES to the data set's"
            )
        self.num_images.fill_(stats.num_images)
        self.image_count.copy_(torch.from_numpy(stats.image_count))
        self.instance_count.copy_(torch.from_numpy(stats.instance_count))

    def count(self, count_type: str) -> torch.Tensor:
        """Counts of a type ("image" or "instance"), (K,) float64."""
        return self.image_count if count_type == "image" else self.instance_count

    def value(self) -> ClassStats | None:
        """The statistics, or None while unset."""
        if not self.is_set:
            return None
        return ClassStats(
            num_classes=self.num_classes,
            num_images=float(self.num_images),
            image_count=self.image_count.cpu().numpy(),
            instance_count=self.instance_count.cpu().numpy(),
        )


class BoxClsLoss(nn.Module):
    """Base of all classification losses: every member has a safe default but :meth:`forward`.

    A loss decides four things together, because apart they go out of step: how many logits there
    are, their initial bias, how a training loss comes from them, and how probabilities do.

    Keyword-only parameters of a subclass's ``__init__`` are its config keys; with ``**kwargs``
    those of the next class in line are too (:func:`lt_det.registry.hyper_parameters`). What goes
    before other losses, weights of RoIs say, is a mixin, and a combination a class of two names.

    Args:
        num_classes: K.
        class_stats: statistics of the training set. None is fine for a loss that needs none and
            for a model that will take them from a checkpoint.
    """

    #: Whether it corrects for the class counts of the training set, so that a second correction (a
    #: class-aware sampler, a calibration) is worth a warning.
    corrects_imbalance = False
    #: Whether :meth:`draw_mask` needs ``known_negatives``.
    uses_known_negatives = False

    def __init__(self, num_classes: int, class_stats: ClassStats | None = None):
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"Expected `num_classes` to be at least 1, but got {num_classes}")
        self.num_classes = num_classes
        self.class_stats = ClassStatsBuffers(num_classes)
        if class_stats is not None:
            self.class_stats.assign(class_stats)

    @property
    def num_logits(self) -> int:
        """C, the width of the classifier: K + 1 with background last."""
        return self.num_classes + 1

    def init_bias(self) -> float:
        """Initial bias of the classifier."""
        return 0.0

    def draw_mask(
        self,
        gt_classes: torch.Tensor,
        known_negatives: torch.Tensor | None = None,
        weights: torch.Tensor | None = None,
    ) -> torch.Tensor | None:
        """Draw everything random about the loss, and count its batch, once a step.

        A row of weight w counts as w copies of it, and one of weight 0 as none. Where something is
        random that holds for the expectation of a row's mask.

        Args:
            gt_classes: (R,).
            known_negatives: (R, K) bool, the classes of which an RoI without their label is known
                to be a negative, by LVIS's lists of its image
                (:mod:`lt_det.modeling.known_negatives`); None where nobody knows.
            weights: (R,), how many RoIs each row stands for; None is one each.

        Returns:
            What :meth:`forward` takes as ``mask``, row by row, or None: mostly weights (R, C).

        Raises:
            ValueError: if the loss needs ``known_negatives`` and they are None.
        """
        return None

    def forward(
        self, logits: torch.Tensor, gt_classes: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Loss of every RoI, unreduced. Pure: no randomness, no state change, input untouched.

        Args:
            logits: (R, C).
            gt_classes: (R,) in [0, K].
            mask: what :meth:`draw_mask` returned for this step.

        Returns:
            (R,).
        """
        raise NotImplementedError

    def predict_probs(self, logits: torch.Tensor) -> torch.Tensor:
        """Probabilities (R, K + 1), background last, from logits (R, C)."""
        return logits.softmax(dim=-1)

    def plain(self) -> BoxClsLoss:
        """The loss on the same logits without any correction for the long tail.

        BALMS's outer loss. It needs no class statistics and predicts as this one does.

        Raises:
            ValueError: if this layout has none.
        """
        raise ValueError(
            f"{type(self).__name__} has no plain counterpart on its {self.num_logits} logits: set "
            "SOLVER.META.OUTER_LOSS 'balanced', which is the loss itself"
        )

    @torch.no_grad()
    def update_state(
        self,
        logits: torch.Tensor,
        gt_classes: torch.Tensor,
        weights: torch.Tensor | None = None,
    ) -> None:
        """Update running statistics. The predictor calls it once a training step.

        Args:
            logits: (R, C).
            gt_classes: (R,).
            weights: (R,), see :meth:`draw_mask`: sums are over the RoIs that the rows stand for.
        """
        return None

    def require_class_stats(self, user: str = "") -> ClassStatsBuffers:
        """The class statistics; raises while they are unset.

        Args:
            user: who needs them, for the message; the loss itself by default.

        Raises:
            ValueError: saying where statistics come from.
        """
        if not self.class_stats.is_set:
            raise ValueError(
                f"{user or type(self).__name__} needs class statistics and has none: pass "
                "`class_stats`, build the model with a registered DATASETS.TRAIN or a "
                "DATASETS.CLASS_STATS_FILE, or load a checkpoint that holds them"
            )
        return self.class_stats
