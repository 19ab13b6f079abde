"""Affinity propagation: clusters around members, without a number of clusters to choose."""

from __future__ import annotations

import numpy as np

__all__ = ["affinity_propagation"]

_TIE = 1e-12


def affinity_propagation(
    similarity: np.ndarray, damping: float = 0.5, max_iter: int = 200, stable_iter: int = 15
) -> np.ndarray:
    """The cluster of each point.

    Frey and Dueck, "Clustering by Passing Messages Between Data Points", Science 2007: points send
    each other responsibilities and availabilities until some of them stay exemplars. The preference
    is the median of all similarities, as in scikit-learn, whose clusters these are. It is written
    here because scikit-learn and SciPy are 200 MB for this one step.

    Args:
        similarity: (N, N), larger is more similar; the diagonal is read for the median alone.
        damping: share of the old message in the new one.
        max_iter: largest number of rounds.
        stable_iter: rounds without a change of exemplars after which it ends.

    Returns:
        (N,) ints from 0. Without any exemplar each point is a cluster of its own.
    """
    number = len(similarity)
    if number < 2:
        return np.arange(number)
    similarity = similarity.astype(np.float64)
    np.fill_diagonal(similarity, np.median(similarity))
    # Both members of a pair are as good an exemplar as the other: without a difference neither is.
    similarity *= 1 + _TIE * np.random.default_rng(0).standard_normal(similarity.shape)
    responsibility, availability = np.zeros((2, number, number))
    is_exemplar, stable = np.zeros(number, dtype=bool), 0
    for _ in range(max_iter):
        responsibility *= damping
        responsibility += (1 - damping) * _responsibility(similarity, availability)
        availability *= damping
        availability += (1 - damping) * _availability(responsibility)
        before, is_exemplar = is_exemplar, np.diag(responsibility + availability) > 0
        stable = stable + 1 if (before == is_exemplar).all() else 0
        if stable >= stable_iter and is_exemplar.any():
            break
    exemplars = is_exemplar.nonzero()[0]
    return _labels(similarity, exemplars) if len(exemplars) else np.arange(number)


def _responsibility(similarity: np.ndarray, availability: np.ndarray) -> np.ndarray:
    """``s_ik - max over k' != k of (a_ik' + s_ik')``."""
    rows = np.arange(len(similarity))
    total = availability + similarity
    best = total.argmax(axis=1)
    largest = total[rows, best]
    total[rows, best] = -np.inf
    message = similarity - largest[:, None]
    message[rows, best] = similarity[rows, best] - total.max(axis=1)
    return message


def _availability(responsibility: np.ndarray) -> np.ndarray:
    """``min(0, r_kk + sum over i' not in {i, k} of max(0, r_i'k))``; a_kk is that sum alone."""
    positive = responsibility.clip(min=0)
    np.fill_diagonal(positive, np.diag(responsibility))
    message = positive.sum(axis=0) - positive
    own = np.diag(message).copy()
    message = message.clip(max=0)
    np.fill_diagonal(message, own)
    return message


def _labels(similarity: np.ndarray, exemplars: np.ndarray) -> np.ndarray:
    """Each point goes to its closest exemplar, after each cluster has chosen its best one."""
    labels = similarity[:, exemplars].argmax(axis=1)
    labels[exemplars] = np.arange(len(exemplars))
    for label in range(len(exemplars)):
        members = (labels == label).nonzero()[0]
        exemplars[label] = members[similarity[np.ix_(members, members)].sum(axis=0).argmax()]
    labels = similarity[:, exemplars].argmax(axis=1)
    labels[exemplars] = np.arange(len(exemplars))
    return labels
