"""AP_fixed: the detections that enter AP are limited per class over the data set, not per image."""

from __future__ import annotations

import numpy as np

__all__ = ["best_per_class"]


def best_per_class(classes: np.ndarray, scores: np.ndarray, limit: int) -> np.ndarray:
    """Positions of the best `limit` detections of each class over the data set, rising.

    The selection of AP_fixed: Dave et al., "Evaluating Large-Vocabulary Object Detectors: The Devil
    is in the Details", arXiv 2102.01066, as released (`evaluate_ap_fixed.py`), with a `limit` of
    10,000 for LVIS. Of equal scores the first are kept, as there. AP of the selection, without a
    limit per image, is AP_fixed.

    Args:
        classes: class or category id of each detection [N].
        scores: scores [N].
        limit: at least 1.
    """
    order = np.lexsort((-scores, classes))
    ranked = classes[order]
    rank = np.arange(len(order)) - np.searchsorted(ranked, ranked)
    return np.sort(order[rank < limit])
