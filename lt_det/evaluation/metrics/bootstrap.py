"""Bootstrap intervals over pictures for LVIS AP, from one evaluation and without repeating it.

AP of a resampled set of pictures only needs to know which detections matched, not the boxes.
`Matches` keeps that; `average_precision` accumulates it under one weight per picture, exactly as
the LVIS API would on a data set that holds each picture as often as its weight says.
"""

from collections.abc import Sequence

import numpy as np

from lt_det.evaluation.matching.matches import Matches
from lt_det.evaluation.metrics.group_metrics import RECALL_THRESHOLDS, group_means

# Elements of the largest temporary array: 32 MiB of float64, which stays near the cache.
_CHUNK_ELEMENTS = 1 << 22


def average_precision(matches: Matches, image_weights: np.ndarray | None = None) -> np.ndarray:
    """Compute AP per class when each picture counts with a weight.

    With integer weights this is the API's AP on a data set in which pictures are repeated (up to
    the order of equal scores within one picture), as 101-point interpolation: between two true
    positives precision only falls, so the envelope needs the true positives alone. Fractional
    weights are allowed; rounding may then leave recall an ulp short of a threshold.

    Args:
        matches: the evaluation.
        image_weights: non-negative weights [I] or a batch of them [B, I]; default all 1.

    Returns:
        AP in percent [K] or [B, K]; NaN for a class whose ground truth has no weight.

    Raises:
        ValueError: if the weights have another shape, are negative or not finite.
    """
    num_images, num_classes = len(matches.image_ids), len(matches.category_ids)
    weights = np.ones(num_images) if image_weights is None else np.asarray(image_weights, float)
    if weights.ndim not in (1, 2) or weights.shape[-1] != num_images:
        raise ValueError(
            f"image_weights must be [{num_images}] or [B, {num_images}], got {weights.shape}."
        )
    if not np.all(np.isfinite(weights)) or np.any(weights < 0):
        raise ValueError("image_weights must be finite and not negative.")
    batch = np.atleast_2d(weights)
    ap = np.full((len(batch), num_classes), np.nan)
    dets = np.searchsorted(matches.class_index, np.arange(num_classes + 1))
    pairs = np.searchsorted(matches.gt_class_index, np.arange(num_classes + 1))
    for k in range(num_classes):
        gt = slice(pairs[k], pairs[k + 1])
        if gt.stop > gt.start:
            num_gt = batch[:, matches.gt_image_index[gt]] @ matches.gt_count[gt].astype(float)
            _fill_class(ap[:, k], matches, slice(dets[k], dets[k + 1]), batch, num_gt)
    return ap if weights.ndim == 2 else ap[0]


def _fill_class(
    out: np.ndarray, matches: Matches, dets: slice, weights: np.ndarray, num_gt: np.ndarray
) -> None:
    """Write one class's AP [B] for the replicates in which it has ground truth."""
    order = dets.start + np.argsort(-matches.score[dets], kind="mergesort")
    images = matches.image_index[order]
    counted = ~matches.ignored[:, order]
    tp = matches.matched[:, order] & counted
    fp = ~matches.matched[:, order] & counted
    present = np.flatnonzero(num_gt > 0)
    size = max(1, _CHUNK_ELEMENTS // max(1, len(order)))
    for start in range(0, len(present), size):
        rows = present[start : start + size]
        points = _sum_interpolated_precision(weights[rows][:, images], tp, fp, num_gt[rows])
        out[rows] = 100 * points / (len(tp) * len(RECALL_THRESHOLDS))


def _sum_interpolated_precision(
    weights: np.ndarray, tp: np.ndarray, fp: np.ndarray, num_gt: np.ndarray
) -> np.ndarray:
    """Sum precision over all IoU and recall thresholds.

    Args:
        weights: weight of each detection, by falling score [B, n].
        tp: true positives [T, n].
        fp: false positives [T, n].
        num_gt: weight of the ground truth [B], positive.

    Returns:
        The sums [B].
    """
    total = np.zeros(len(weights))
    all_sum = np.cumsum(weights, axis=1)
    for tp_t, fp_t in zip(tp, fp, strict=True):
        position = np.flatnonzero(tp_t)
        if not len(position):
            continue
        # Nearly all detections are false positives: sum the few others and subtract, so that the
        # long cumulative sum is shared by all IoU thresholds. Exact for integer weights.
        other = np.flatnonzero(~fp_t)
        other_sum = np.cumsum(weights[:, other], axis=1)[:, np.searchsorted(other, position)]
        tp_sum = np.cumsum(weights[:, position], axis=1)
        fp_sum = all_sum[:, position] - other_sum
        precision = tp_sum / (fp_sum + tp_sum + np.spacing(1))
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        # The thresholds that each true positive is the first to reach; 0 goes to the first.
        reached = np.searchsorted(RECALL_THRESHOLDS, tp_sum / num_gt[:, None], side="right")
        total += np.sum(envelope * np.diff(reached, axis=1, prepend=0), axis=1)
    return total


def bootstrap_interval(
    matches: Sequence[Matches],
    groups: np.ndarray,
    num_replicates: int = 1000,
    seed: int = 0,
    resample_seeds: bool = False,
    level: float = 0.95,
) -> dict[str, dict[str, float]]:
    """Bootstrap AP of one method, averaged over its training seeds.

    Args:
        matches: one evaluation per training seed, all on the same pictures.
        groups: group index of each class [K]: 0 rare, 1 common, 2 frequent.
        num_replicates: resampled sets of pictures.
        seed: seed of the resampling.
        resample_seeds: draw the training seeds with replacement too.
        level: coverage of the interval.

    Returns:
        ``AP``, ``APr``, ``APc``, ``APf`` -> ``{"mean", "lo", "hi"}`` in percent: the observed
        value and the percentile interval. NaN for a group without ground truth.
    """
    _check_comparable(matches)
    weights = _resample_pictures(len(matches[0].image_ids), num_replicates, seed)
    values = _metrics_per_seed(matches, groups, weights)
    shares = _seed_shares(len(matches), num_replicates, seed, resample_seeds)
    return {name: _interval(_over_seeds(v, shares), level) for name, v in values.items()}


def bootstrap_difference(
    matches_a: Sequence[Matches],
    matches_b: Sequence[Matches],
    groups: np.ndarray,
    num_replicates: int = 1000,
    seed: int = 0,
    resample_seeds: bool = False,
    level: float = 0.95,
) -> dict[str, dict[str, float]]:
    """Bootstrap the difference a - b of two methods, paired over pictures.

    Both methods see the same resampled pictures. A class without ground truth in a replicate is
    left out of that replicate's mean, as the API does; replicates in which a whole group is
    missing are left out of that group's interval.

    Args:
        matches_a: evaluations of method a, one per training seed.
        matches_b: evaluations of method b, on the same pictures and classes.
        groups: see `bootstrap_interval`.
        num_replicates: see `bootstrap_interval`.
        seed: see `bootstrap_interval`.
        resample_seeds: draw the training seeds with replacement too; the same draw for both
            methods if they have equally many (seed i of a pairs with seed i of b).
        level: see `bootstrap_interval`.

    Returns:
        ``AP``, ``APr``, ``APc``, ``APf`` -> ``{"mean", "lo", "hi"}`` in percentage points: the
        observed difference and the percentile interval.

    Raises:
        ValueError: if the evaluations are not on the same pictures and classes.
    """
    _check_comparable([*matches_a, *matches_b])
    weights = _resample_pictures(len(matches_a[0].image_ids), num_replicates, seed)
    values_a = _metrics_per_seed(matches_a, groups, weights)
    values_b = _metrics_per_seed(matches_b, groups, weights)
    shares_a = _seed_shares(len(matches_a), num_replicates, seed, resample_seeds)
    shares_b = _seed_shares(len(matches_b), num_replicates, seed, resample_seeds)
    return {
        name: _interval(
            _over_seeds(values_a[name], shares_a) - _over_seeds(values_b[name], shares_b), level
        )
        for name in values_a
    }


def replicate_metrics(
    matches: Matches, groups: np.ndarray, num_replicates: int = 1000, seed: int = 0
) -> dict[str, np.ndarray]:
    """Metrics of one evaluation on resampled pictures, for :func:`difference_of_replicates`.

    To compare many methods pairwise: the resampling is done once for each of them.

    Args:
        matches: the evaluation.
        groups: see `bootstrap_interval`.
        num_replicates: see `bootstrap_interval`.
        seed: see `bootstrap_interval`; equal seeds resample equal pictures.

    Returns:
        ``AP``, ``APr``, ``APc``, ``APf`` -> [1 + B], the observed value first.
    """
    weights = _resample_pictures(len(matches.image_ids), num_replicates, seed)
    values = _metrics_per_seed([matches], groups, weights)
    return {name: of_seeds[0] for name, of_seeds in values.items()}


def interval_of_replicates(
    values: Sequence[dict[str, np.ndarray]], level: float = 0.95
) -> dict[str, dict[str, float]]:
    """Interval of one method, from the `replicate_metrics` of each training seed.

    Unlike in `bootstrap_interval` the replicates are moved by one number, so that their mean is
    the observed value. A resampled set repeats pictures, on which AP is higher: the observed value
    may lie below all replicates. In a difference of methods most of that cancels. An AP is never
    below 0, and neither are the moved replicates.
    """
    intervals = {}
    for name in values[0]:
        mean = np.mean([of[name] for of in values], axis=0)
        present = mean[1:][~np.isnan(mean[1:])]
        mean[1:] += mean[0] - present.mean() if len(present) else 0.0
        mean[1:] = np.maximum(mean[1:], 0.0)
        intervals[name] = _interval(mean, level)
    return intervals


def difference_of_replicates(
    values_a: Sequence[dict[str, np.ndarray]],
    values_b: Sequence[dict[str, np.ndarray]],
    level: float = 0.95,
) -> dict[str, dict[str, float]]:
    """As `bootstrap_difference`, from the `replicate_metrics` of each training seed."""
    return {
        name: _interval(
            np.mean([values[name] for values in values_a], axis=0)
            - np.mean([values[name] for values in values_b], axis=0),
            level,
        )
        for name in values_a[0]
    }


def _resample_pictures(num_images: int, num_replicates: int, seed: int) -> np.ndarray:
    """Draw picture multiplicities [1 + B, I]; the first row is the set as it is."""
    if num_replicates < 1:
        raise ValueError(f"num_replicates must be 1 or more, got {num_replicates}.")
    drawn = np.random.default_rng(seed).multinomial(
        num_images, np.full(num_images, 1 / num_images), size=num_replicates
    )
    return np.vstack([np.ones((1, num_images)), drawn])


def _metrics_per_seed(
    matches: Sequence[Matches], groups: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """AP by group of every training seed and replicate [S, 1 + B]."""
    if len(groups) != len(matches[0].category_ids):
        raise ValueError(
            f"groups must hold one index per class [{len(matches[0].category_ids)}], "
            f"got {len(groups)}."
        )
    return group_means(np.stack([average_precision(m, weights) for m in matches]), groups)


def _seed_shares(num_seeds: int, num_replicates: int, seed: int, resample: bool) -> np.ndarray:
    """Share of each training seed in each replicate's mean [S, 1 + B]."""
    shares = np.full((num_seeds, 1 + num_replicates), 1 / num_seeds)
    if resample:
        # A stream of its own: the pictures drawn must not depend on this option.
        rng = np.random.default_rng([seed, num_seeds])
        probs = np.full(num_seeds, 1 / num_seeds)
        shares[:, 1:] = rng.multinomial(num_seeds, probs, size=num_replicates).T / num_seeds
    return shares


def _over_seeds(values: np.ndarray, shares: np.ndarray) -> np.ndarray:
    return np.sum(values * shares, axis=0)


def _interval(values: np.ndarray, level: float) -> dict[str, float]:
    """Observed value (first entry) and percentile interval of the replicates (the others)."""
    replicates = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]) or not len(replicates):
        return dict.fromkeys(("mean", "lo", "hi"), float("nan"))
    lo, hi = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return {"mean": float(values[0]), "lo": float(lo), "hi": float(hi)}


def _check_comparable(matches: Sequence[Matches]) -> None:
    if not matches:
        raise ValueError("no evaluation given: matches is empty.")
    for other in matches[1:]:
        for name in ("image_ids", "category_ids"):
            if not np.array_equal(getattr(matches[0], name), getattr(other, name)):
                raise ValueError(
                    f"the evaluations differ in {name}: a paired bootstrap needs the same pictures "
                    "and classes. Evaluate all of them on one data set."
                )
