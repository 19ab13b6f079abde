"""Class-aware and square-root sampling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lt_det.data.samplers.base import TRAIN_SAMPLER_REGISTRY, PictureSampler, class_lists
from lt_det.registry import MethodCard

__all__ = ["ClassAwareTrainingSampler"]


@TRAIN_SAMPLER_REGISTRY.register()
class ClassAwareTrainingSampler(PictureSampler):
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

    corrects_imbalance = True

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
        super().__init__(dataset_dicts, num_classes, seed)
        lists = class_lists(dataset_dicts, num_classes, type(self).__name__)
        class_ids = lists.class_ids
        # Images of class c are self._images[start[c] : start[c] + image_count[c]].
        self._images = torch.from_numpy(lists.images[class_ids.argsort(kind="stable")])
        self._image_count = torch.from_numpy(np.bincount(class_ids, minlength=num_classes))
        self._start = self._image_count.cumsum(0) - self._image_count
        weight = self._image_count.double().pow(power) * (self._image_count > 0)
        self._class_rate = weight / weight.sum()

    def image_weights(self):
        """See :meth:`PictureSampler.image_weights`."""
        per_image = (self._class_rate / self._image_count.clamp(min=1)).repeat_interleave(
            self._image_count
        )
        weights = torch.zeros(self.num_images, dtype=torch.float64)
        return (self.num_images * weights.index_add_(0, self._images, per_image)).numpy()

    def stream(self, generator):
        """See :meth:`PictureSampler.stream`."""
        while True:
            classes = torch.multinomial(
                self._class_rate, self._BLOCK, replacement=True, generator=generator
            )
            fraction = torch.rand(self._BLOCK, dtype=torch.float64, generator=generator)
            offset = (fraction * self._image_count[classes]).long()
            yield from self._images[self._start[classes] + offset].tolist()
