r"""Learned class rates as a distribution over pictures: the mathematics of the Meta Sampler.

Ren et al., "Balanced Meta-Softmax for Long-Tailed Visual Recognition", NeurIPS 2020, arXiv
2007.10740, section 3.2 draws single-label samples with the probability of their class's rate. Here
pictures have several classes and repeat factors r(I). With C(I) the classes of picture I and
``sigma_c = sigmoid(phi_c)``, a class is drawn, then one of its pictures:

    A_c = sum over I with c of r(I) / |C(I)|        p_c ~ A_c sigma_c
    P(I | c) = r(I) / (|C(I)| A_c)                  P(I) ~ r(I) * mean of sigma_c over C(I)

so phi = 0 is repeat-factor sampling: P(I) = r(I) / sum r. A picture without annotations counts as
of the background class K, whose rate stays that of phi = 0.

Differences from the released classification code: the score function with an importance ratio
in place of straight-through Gumbel, whose gradient is biased.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch

from lt_det.data.class_lists import ClassLists

__all__ = ["ImageDistribution", "score_function_gradient"]


class ImageDistribution:
    """Probabilities of pictures under class rates, on the CPU in float64.

    Its memory grows with the pairs of a picture and a class in it, 24 bytes each.

    Args:
        image_classes: the distinct classes of every picture, in [0, K).
        repeat_factors: (N,) r(I), positive.
        num_classes: K.

    Raises:
        ValueError: if a class is out of range or named twice in a picture, or repeat factors are
            not N positive numbers.
    """

    def __init__(
        self,
        image_classes: Sequence[Collection[int]],
        repeat_factors: torch.Tensor,
        num_classes: int,
    ):
        self.num_images, self.num_classes = len(image_classes), num_classes
        repeat_factors = torch.as_tensor(repeat_factors, dtype=torch.float64)
        image_classes = ClassLists.of(image_classes)
        _check(image_classes, repeat_factors, num_classes)
        # Pairs of a picture and a class in it, picture by picture.
        class_ids, lengths = image_classes.class_ids, image_classes.lengths
        ends = lengths.cumsum()[lengths == 0]
        self._class = torch.from_numpy(np.insert(class_ids, ends, num_classes))
        self._num_pairs = torch.from_numpy(lengths.clip(min=1))
        self._first_pair = self._num_pairs.cumsum(0) - self._num_pairs
        #: r(I) / |C(I)|, (N,), what a picture adds to the mass of each of its classes.
        self._mass = repeat_factors / self._num_pairs
        # The pictures of these pairs class by class, for draws.
        images = torch.arange(self.num_images).repeat_interleave(self._num_pairs)
        self._images_of_class = images[self._class.argsort(stable=True)]
        self._mass_up_to = self._mass[self._images_of_class].cumsum(0)
        self._image_count = torch.bincount(self._class, minlength=num_classes + 1)
        self._first_image = self._image_count.cumsum(0) - self._image_count
        #: A_c, (K + 1,).
        self.class_mass = self._sum_by_class(self._mass[images])

    def total_mass(self, phi: torch.Tensor) -> torch.Tensor:
        """Sum of A_c sigma_c (), what P(I) is normalised by."""
        return (self.class_mass * self._rates(phi)).sum()

    def class_probs(self, phi: torch.Tensor) -> torch.Tensor:
        """p_c, the probability that class c is drawn, (K + 1,), from phi (K,)."""
        mass = self.class_mass * self._rates(phi)
        return mass / mass.sum()

    def log_probs(self, phi: torch.Tensor, images: torch.Tensor | None = None) -> torch.Tensor:
        """Logarithms of P(I), (B,), from phi (K,); ``images`` (B,) are indices, None is all."""
        images = torch.arange(self.num_images) if images is None else images
        rates = self._rates(phi)
        row, class_id = self._pairs(images)
        total_rate = rates.new_zeros(len(images)).index_add(0, row, rates[class_id])
        return (self._mass[images] * total_rate / self.total_mass(phi)).log()

    def importance_ratios(
        self, phi: torch.Tensor, images: torch.Tensor, drawn_log_probs: torch.Tensor
    ) -> torch.Tensor:
        """P(I) under phi over P(I) under the rates each picture was drawn with, (B,).

        Args:
            phi: (K,), the present ones.
            images: (B,).
            drawn_log_probs: (B,), :meth:`log_probs` when they were drawn. A batch grouped by
                aspect ratio may hold pictures that were drawn under different rates.
        """
        return (self.log_probs(phi, images) - drawn_log_probs).exp()

    def responsibilities(self, phi: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """P(c | I), the probability that I was drawn for its class c, (B, K + 1)."""
        rates = self._rates(phi)
        row, class_id = self._pairs(images)
        share = rates.new_zeros(len(images), len(rates))
        share[row, class_id] = rates[class_id]
        return share / share.sum(dim=1, keepdim=True)

    def score(self, phi: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """The score d log P(I) / d phi_c = (1 - sigma_c) (P(c | I) - p_c), (B, K)."""
        difference = self.responsibilities(phi, images) - self.class_probs(phi)
        return ((1 - self._rates(phi)) * difference)[:, : self.num_classes]

    def draw(self, phi: torch.Tensor, num: int, generator: torch.Generator) -> torch.Tensor:
        """Indices (num,) of independently drawn pictures: a class, then one of its pictures."""
        probs = self.class_probs(phi.detach())
        classes = torch.multinomial(probs, num, replacement=True, generator=generator)
        fraction = torch.rand(num, dtype=torch.float64, generator=generator)
        # A class's pictures are a stretch of the cumulative mass, A_c long.
        first = self._first_image[classes]
        last = first + self._image_count[classes] - 1
        start = self._mass_up_to[first] - self._mass[self._images_of_class[first]]
        mass = start + fraction * self.class_mass[classes]
        position = torch.searchsorted(self._mass_up_to, mass, right=True)
        # Rounding may reach over either end of the stretch.
        return self._images_of_class[position.clamp(min=first, max=last)]

    def _rates(self, phi: torch.Tensor) -> torch.Tensor:
        """sigma_c and the background class's 0.5, (K + 1,)."""
        rates = phi.to(self.class_mass).sigmoid()
        return torch.cat([rates, rates.new_tensor([0.5])])

    def _pairs(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """For each class of each of ``images``: its position in ``images``, and the class."""
        num_pairs = self._num_pairs[images]
        row = torch.arange(len(images)).repeat_interleave(num_pairs)
        within = torch.arange(len(row)) - (num_pairs.cumsum(0) - num_pairs)[row]
        return row, self._class[self._first_pair[images][row] + within]

    def _sum_by_class(self, pair_values: torch.Tensor) -> torch.Tensor:
        return pair_values.new_zeros(self.num_classes + 1).index_add(0, self._class, pair_values)


def score_function_gradient(
    values: torch.Tensor,
    scores: torch.Tensor,
    ratios: torch.Tensor | None = None,
    total: torch.Tensor | None = None,
    num_images: int | None = None,
) -> torch.Tensor:
    """Estimate of the outer loss's derivative by phi, (K,): sum it over the ranks.

        sum over pictures b of ratio_b (a_b - baseline_b) d log P(I_b) / d phi

    The baseline is the mean of ``ratio * a`` over the other pictures: it is independent of picture
    b, so it takes away variance and adds no bias (0 for a single picture).

    Unbiased for the derivative of the expected inner gradient, seen through the outer gradient
    at this step's look-ahead. That itself depends on the batch: the rest is of second order in
    the inner learning rate. The inner normaliser is taken as given, not as something drawn.

    Args:
        values: (B,), a_b, the hypergradients of a picture's RoIs, summed.
        scores: (B, K), :meth:`ImageDistribution.score` under the present rates.
        ratios: (B,), :meth:`ImageDistribution.importance_ratios`; None is ones, for pictures
            drawn under the present rates.
        total: sum of ``ratios * values`` over all ranks; None is this rank's.
        num_images: pictures of all ranks; None is B.
    """
    ratios = torch.ones_like(values) if ratios is None else ratios.to(values)
    weighted = ratios * values
    total = weighted.sum() if total is None else total
    num_images = len(values) if num_images is None else num_images
    baseline = (total - weighted) / max(num_images - 1, 1)
    if num_images == 1:
        baseline = torch.zeros_like(values)
    return scores.to(values).T @ (weighted - ratios * baseline)


def _check(image_classes: ClassLists, repeat_factors: torch.Tensor, num_classes: int) -> None:
    if repeat_factors.shape != (len(image_classes),) or not len(image_classes):
        raise ValueError(
            f"Expected `repeat_factors` of {len(image_classes)} pictures (at least one), but got "
            f"the shape {tuple(repeat_factors.shape)}"
        )
    for index in (~(repeat_factors.isfinite() & (repeat_factors > 0))).nonzero().flatten()[:1]:
        raise ValueError(
            f"Expected `repeat_factors` to be finite and > 0, but picture {index} has "
            f"{repeat_factors[index]}"
        )
    class_ids, images = image_classes.class_ids, image_classes.images
    for index in images[(class_ids < 0) | (class_ids >= num_classes)][:1]:
        raise ValueError(
            f"`image_classes`: expected classes in [0, {num_classes}), but picture {index} "
            f"has {image_classes[index]}: NUM_CLASSES does not fit the data set"
        )
    pairs = np.sort(images * num_classes + class_ids)
    for pair in pairs[1:][pairs[1:] == pairs[:-1]][:1]:
        index = int(pair) // num_classes
        raise ValueError(
            f"`image_classes`: picture {index} names a class twice: {image_classes[index]}"
        )
