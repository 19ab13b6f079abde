"""Stored RoIs of a training set, drawn as stage 2 would sample them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lt_det.bank.folder import BankFolder
from lt_det.bank.sampling import sample_step
from lt_det.modeling.roi_recorder import RoIs
from lt_det.utils.seeding import derived_seed

__all__ = ["FeatureBank"]


@dataclass(frozen=True)
class _Visit:
    """A picture under one augmentation: where its rows are."""

    shard: int
    rows: slice
    num_background: int


class FeatureBank:
    """Stored RoIs of a training set, drawn picture by picture as in training.

    A picture may have several views, each under other augmentation; a step sees one of them.

    Args:
        folder: a complete bank.
        num_pictures: of the training set, in its order.
        num_classes: K.
        num_rois: see :func:`sample_step`.
        positive_fraction: see :func:`sample_step`.
        device: where batches go.
    """

    def __init__(
        self,
        folder: BankFolder,
        num_pictures: int,
        num_classes: int,
        num_rois: int,
        positive_fraction: float,
        device: str | torch.device = "cpu",
    ):
        self.num_pictures = num_pictures
        self.num_classes = num_classes
        self.num_rois = num_rois
        self.positive_fraction = positive_fraction
        self.device = torch.device(device)
        self._shards = [folder.read(number) for number in range(folder.num_shards)]
        # Of the first view; the others have the same pictures.
        self.picture_numbers = np.concatenate([s["picture"] for s in self._shards])[:num_pictures]
        self._visits: list[_Visit] = []
        for number, shard in enumerate(self._shards):
            ends = np.cumsum(shard["num_rows"])
            for count, end, background in zip(
                shard["num_rows"].tolist(), ends.tolist(), shard["num_background"], strict=True
            ):
                self._visits.append(_Visit(number, slice(end - count, end), int(background)))
        self.num_views = len(self._visits) // num_pictures
        # Of the picture with an index; a part of the bank has fewer.
        self._pictures = np.arange(num_pictures)

    def subset(self, pictures: Sequence[int]) -> FeatureBank:
        """A view of some of the pictures, which are numbered anew, in the order given."""
        part = copy.copy(self)
        part._pictures = self._pictures[np.asarray(pictures)]
        part.picture_numbers = self.picture_numbers[np.asarray(pictures)]
        return part

    def __len__(self) -> int:
        """Number of stored RoIs."""
        return sum(len(shard["gt_classes"]) for shard in self._shards)

    def rois(self, images: Sequence[int], seeds: Sequence[tuple[int, ...]]) -> RoIs:
        """The RoIs of a training step.

        Args:
            images: indices of pictures.
            seeds: for each, the key of its view and of its RoIs; that of
                :func:`lt_det.modeling.roi_heads.seeded_roi_sampling`.
        """
        features, labels, weights, numbers = [], [], [], []
        with torch.random.fork_rng(devices=[]):
            for image, seed in zip(images, seeds, strict=True):
                visit = self._visits[
                    self._view(seed) * self.num_pictures + int(self._pictures[image])
                ]
                gt_classes = self.gt_classes(visit)
                # The global generator, because Detectron2's sampling draws from it.
                torch.default_generator.manual_seed(derived_seed(*seed))
                rows, row_weights = sample_step(
                    gt_classes,
                    visit.num_background,
                    self.num_rois,
                    self.positive_fraction,
                    self.num_classes,
                )
                features.append(self._features(visit)[rows])
                labels.append(gt_classes[rows])
                weights.append(row_weights)
                numbers.append(len(rows))
        return self._rois(features, labels, weights, numbers)

    def gt_classes(self, visit: _Visit) -> torch.Tensor:
        """Labels of a visit's rows."""
        labels = self._shards[visit.shard]["gt_classes"][visit.rows]
        return torch.from_numpy(labels.astype(np.int64))

    def labels_of_all(self) -> np.ndarray:
        """Labels of all rows (N,), in the order of :meth:`rows`; -1 in pictures left out."""
        labels = np.concatenate([np.asarray(shard["gt_classes"]) for shard in self._shards])
        num_rows = np.concatenate([shard["num_rows"] for shard in self._shards])
        kept = np.repeat(self._is_kept(), num_rows)
        return np.where(kept, labels, -1)

    def weights_of_all(self) -> np.ndarray:
        """How many RoIs of the detector each row stands for (N,): 1, more for background."""
        weights = []
        for shard in self._shards:
            visit = np.repeat(np.arange(len(shard["num_rows"])), shard["num_rows"])
            is_background = np.asarray(shard["gt_classes"]) == self.num_classes
            kept = np.bincount(visit[is_background], minlength=len(shard["num_rows"]))
            per_visit = np.asarray(shard["num_background"]) / np.maximum(kept, 1)
            weights.append(np.where(is_background, per_visit[visit], 1.0))
        return np.concatenate(weights)

    def rows(self, rows: np.ndarray) -> RoIs:
        """The RoIs of given rows, all of weight 1, as if of one picture."""
        starts = np.cumsum([0, *(len(shard["gt_classes"]) for shard in self._shards)])
        shards = np.searchsorted(starts, rows, side="right") - 1
        inside = rows - starts[shards]
        features = np.stack(
            [self._shards[s]["features"][r] for s, r in zip(shards, inside, strict=True)]
        )
        labels = np.array(
            [self._shards[s]["gt_classes"][r] for s, r in zip(shards, inside, strict=True)]
        )
        labels = torch.from_numpy(labels.astype(np.int64))
        return self._rois(
            [torch.from_numpy(features)], [labels], [torch.ones(len(rows))], [len(rows)]
        )

    def mean_step(self, num_images: int) -> tuple[int, int]:
        """Foreground and all RoIs that a step of ``num_images`` pictures sees on average."""
        foreground = rois = 0
        most = int(self.num_rois * self.positive_fraction)
        visits = [v for v, kept in zip(self._visits, self._is_kept(), strict=True) if kept]
        for visit in visits:
            labels = self._shards[visit.shard]["gt_classes"][visit.rows]
            of_visit = min(int((labels < self.num_classes).sum()), most)
            foreground += of_visit
            rois += of_visit + min(visit.num_background, self.num_rois - of_visit)
        per_step = num_images / len(visits)
        return round(foreground * per_step), round(rois * per_step)

    def _is_kept(self) -> np.ndarray:
        """Whether each visit is of a picture of this part."""
        kept = np.isin(np.arange(self.num_pictures), self._pictures)
        return np.tile(kept, self.num_views)

    def _view(self, seed: tuple[int, ...]) -> int:
        return derived_seed(*seed) % self.num_views

    def _features(self, visit: _Visit) -> torch.Tensor:
        # A copy: torch warns of memory that cannot be written to.
        return torch.from_numpy(np.array(self._shards[visit.shard]["features"][visit.rows]))

    def _rois(self, features, labels, weights, numbers) -> RoIs:
        weights = torch.cat(weights)
        return RoIs(
            torch.cat(features).to(self.device).float(),
            torch.cat(labels).to(self.device),
            numbers,
            None if weights.eq(1).all() else weights.to(self.device),
        )
