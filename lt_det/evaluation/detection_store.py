"""Detections of a data set as they come, without those that no metric will need."""

from __future__ import annotations

import numpy as np

from lt_det.evaluation.matching.detections import ImageDetections
from lt_det.evaluation.matching.fixed_ap import best_per_class
from lt_det.evaluation.metric_options import MetricOptions

__all__ = ["DetectionStore"]

# Detections that are stored before any is let go.
_AT_LEAST = 100_000


class DetectionStore:
    """Images' detections; with AP_fixed of a model that keeps very many, those alone that matter.

    These are the best of each class so far and the best of each image. The others are let go when
    they are half of all, so that the store never holds more than twice what matters.

    Args:
        options: how many matter; without AP_fixed all do.

    Attributes:
        entries: the detections of each image, in the order in which they came.
    """

    def __init__(self, options: MetricOptions):
        self.entries: list[ImageDetections] = []
        self._options = options
        self._size = 0
        self._full_at = _AT_LEAST

    def add(self, detections: ImageDetections) -> None:
        """Store the detections of an image."""
        self.entries.append(detections)
        self._size += len(detections.scores)
        if self._options.detections_per_class and self._size > self._full_at:
            self._let_go()
            self._full_at = max(_AT_LEAST, 2 * self._size)

    def _let_go(self) -> None:
        counts = [len(d.scores) for d in self.entries]
        images = np.repeat(np.arange(len(counts)), counts)
        classes, scores = (
            np.concatenate([getattr(d, name) for d in self.entries])
            for name in ("classes", "scores")
        )
        needed = np.zeros(len(scores), dtype=bool)
        for keys, limit in (
            (classes, self._options.detections_per_class),
            (images, self._options.detections_per_image),
        ):
            needed[best_per_class(keys, scores, limit) if limit >= 0 else slice(None)] = True
        of_image = np.split(needed, np.cumsum(counts)[:-1])
        self.entries = [
            d.take(np.flatnonzero(kept)) for d, kept in zip(self.entries, of_image, strict=True)
        ]
        self._size = np.count_nonzero(needed)
