"""Batches of pictures drawn under learned class rates: the Meta Sampler's side of the data.

The rates change with every step, while loader workers fetch batches ahead. So batch number n is
always drawn under the rates after step ``n - lag``, however many workers there are, from random
numbers of its own: the stream needs no state but the rates. The mathematics are in
:mod:`lt_det.data.image_distribution`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from detectron2.utils import comm
from torch.utils.data import Sampler

from lt_det.data.class_lists import ClassLists
from lt_det.data.image_distribution import ImageDistribution, score_function_gradient
from lt_det.data.stream import Place
from lt_det.utils.distributed import sum_over_ranks
from lt_det.utils.seeding import derived_seed

__all__ = ["GroupedImages", "MetaBatchPlan"]


class GroupedImages:
    """Pictures under class rates, in batches of one kind (aspect ratio).

    A batch draws its kind with the kind's probability, then its pictures within: each picture has
    the probability P(I) of :class:`ImageDistribution` over all.

    Args:
        image_classes: the distinct classes of every picture.
        repeat_factors: (N,) r(I).
        kind: (N,), small integers; None if pictures of all kinds go together.
        num_classes: K.
    """

    def __init__(
        self,
        image_classes: Sequence[Sequence[int]],
        repeat_factors: torch.Tensor,
        kind: Sequence[int] | None,
        num_classes: int,
    ):
        image_classes = ClassLists.of(image_classes)
        number = len(image_classes)
        kind = torch.zeros(number, dtype=torch.long) if kind is None else torch.as_tensor(kind)
        self._whole = ImageDistribution(image_classes, repeat_factors, num_classes)
        # Of each kind: its pictures, and their distribution.
        self._parts: list[tuple[torch.Tensor, ImageDistribution]] = []
        for value in kind.unique():
            images = (kind == value).nonzero()[:, 0]
            classes = image_classes.select(images.numpy())
            part = ImageDistribution(classes, repeat_factors[images], num_classes)
            self._parts.append((images, part))
        self._part_of = torch.empty(number, dtype=torch.long)
        self._index_in_part = torch.empty(number, dtype=torch.long)
        for part, (images, _) in enumerate(self._parts):
            self._part_of[images] = part
            self._index_in_part[images] = torch.arange(len(images))

    def draw(self, phi: torch.Tensor, num: int, generator: torch.Generator) -> torch.Tensor:
        """Indices (num,) of a batch of one kind."""
        mass = torch.stack([part.total_mass(phi) for _, part in self._parts])
        kind = int(torch.multinomial(mass, 1, generator=generator))
        images, part = self._parts[kind]
        return images[part.draw(phi, num, generator)]

    def log_probs(self, phi: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Logarithms of P(I), (B,)."""
        return self._whole.log_probs(phi, images)

    def rate_gradient(
        self,
        phi: torch.Tensor,
        drawn_phi: torch.Tensor,
        images: torch.Tensor,
        values: torch.Tensor,
    ) -> torch.Tensor:
        """Estimate of the outer loss's derivative by phi, (K,), over all ranks; unbiased.

        ``sum_b ratio_b a_b d log P(I_b) / d phi`` with a baseline. Pictures of a batch share their
        kind, so only given the kind are the others' values independent of a picture: the baseline
        goes with the score within the kind, and the score of the kind itself has none.

        Args:
            phi: (K,), present ones.
            drawn_phi: (K,), those the batch was drawn under.
            images: (B,), this rank's pictures of the batch.
            values: (B,), the hypergradient of each picture's RoIs, summed.
        """
        values = values.to(phi)
        ratios = self._whole.importance_ratios(phi, images, self.log_probs(drawn_phi, images))
        total = sum_over_ranks((ratios * values).sum())
        num_images = int(sum_over_ranks(torch.tensor(float(len(images)))))
        _, part = self._parts[int(self._part_of[images[0]])]
        scores = part.score(phi, self._index_in_part[images])
        within = score_function_gradient(values, scores, ratios, total, num_images)
        return sum_over_ranks(within) + total * self._kind_score(phi, part)

    def _kind_score(self, phi: torch.Tensor, part: ImageDistribution) -> torch.Tensor:
        """The derivative of the kind's log probability by phi, (K,)."""
        difference = part.class_probs(phi) - self._whole.class_probs(phi)
        return (1 - phi.sigmoid()) * difference[: len(phi)]


class MetaBatchPlan(Sampler):
    """Endless batches of :class:`Place`, this rank's share of each, from batch ``start`` on.

    Args:
        images: what to draw from.
        batch_size: pictures of all ranks in a step.
        num_classes: K; the rates begin at phi = 0, which is repeat-factor sampling.
        seed: of the training.
        lag: steps between the rates of a batch and the step that trains on it; the loader may
            fetch that many batches ahead.

    Raises:
        ValueError: if ``lag`` is negative.
    """

    def __init__(
        self, images: GroupedImages, batch_size: int, num_classes: int, seed: int, lag: int
    ):
        if lag < 0:
            raise ValueError(f"Expected SOLVER.META.SAMPLER.LAG to be at least 0, but got {lag}")
        self.images = images
        self.lag = lag
        # A batch is planned once the rates after the step `lag` before it are known.
        self.most_ahead = lag
        self.start = 0
        self._batch_size = batch_size
        self._seed = seed
        # Kept here, as Detectron2's samplers do: a loader's worker process may not know its rank.
        self._rank = comm.get_rank()
        self._world_size = comm.get_world_size()
        # phi after that many steps; older ones than any batch needs are dropped.
        self._versions = {0: torch.zeros(num_classes, dtype=torch.float64)}

    def __iter__(self) -> Iterator[list[Place]]:
        """Batches, each carrying the version of its rates."""
        for number in itertools.count(self.start):
            version = max(number - self.lag, 0)
            generator = torch.Generator().manual_seed(derived_seed(self._seed, number))
            images = self.images.draw(self.phi(version), self._batch_size, generator).tolist()
            first = number * self._batch_size
            places = [Place(first + i, image, version) for i, image in enumerate(images)]
            yield places[self._rank :: self._world_size]

    def phi(self, version: int) -> torch.Tensor:
        """Phi (K,) after ``version`` steps."""
        assert version in self._versions, "MetaBatchPlan: a batch was fetched too far ahead"
        return self._versions[version]

    def set_phi(self, version: int, phi: torch.Tensor) -> None:
        """Tell the rates after ``version`` steps."""
        self._versions[version] = phi.detach().to("cpu", torch.float64).clone()
        self._versions = {v: p for v, p in self._versions.items() if v >= version - self.lag}

    def state_dict(self) -> dict[int, torch.Tensor]:
        """The rates that batches still to come are drawn under, by version."""
        return dict(self._versions)

    def load_state_dict(self, state_dict: dict[int, torch.Tensor]) -> None:
        """Inverse of :meth:`state_dict`."""
        self._versions = dict(state_dict)
